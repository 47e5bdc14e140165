// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
)

// tree is the result of applying layers: files by name below the root.
type tree map[string]treeFile

type treeFile struct {
	mode   fs.FileMode
	size   int64
	sum    [sha256.Size]byte
	target string // of a symbolic link
	own    bool   // the layer that is being applied brought it
}

// Whiteouts, see
// https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#whiteouts
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// apply applies a layer to the tree.
func (t tree) apply(layer io.Reader) error {
	for name, file := range t {
		file.own = false
		t[name] = file
	}
	archive := tar.NewReader(layer)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := t.add(header, archive); err != nil {
			return err
		}
	}
}

func (t tree) add(header *tar.Header, content io.Reader) error {
	name := path.Clean("/" + header.Name)
	if name == "/" || header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	dir, base := t.resolve(path.Dir(name), 0), path.Base(name)
	name = strings.TrimPrefix(path.Join(dir, base), "/")
	if base == opaque {
		t.remove(strings.TrimPrefix(dir, "/"), func(below string, file treeFile) bool { return below != "" && !file.own })
		return nil
	}
	if hidden, ok := strings.CutPrefix(base, whiteout); ok {
		t.remove(strings.TrimPrefix(path.Join(dir, hidden), "/"), func(string, treeFile) bool { return true })
		return nil
	}
	file, err := t.read(header, content)
	if err != nil {
		return err
	}
	if !file.mode.IsDir() {
		t.remove(name, func(string, treeFile) bool { return true })
	}
	t[name] = file
	return nil
}

// read returns the file of an entry.
func (t tree) read(header *tar.Header, content io.Reader) (treeFile, error) {
	if header.Typeflag == tar.TypeLink {
		target := path.Clean("/" + header.Linkname)
		file := t[strings.TrimPrefix(path.Join(t.resolve(path.Dir(target), 0), path.Base(target)), "/")]
		file.own = true
		return file, nil
	}
	file := treeFile{mode: header.FileInfo().Mode(), target: header.Linkname, own: true}
	if !file.mode.IsRegular() {
		return file, nil
	}
	hash := sha256.New()
	size, err := io.Copy(hash, content)
	file.size, file.sum = size, [sha256.Size]byte(hash.Sum(nil))
	return file, err
}

// maxLinks is how many symbolic links Linux follows in one name:
// https://man7.org/linux/man-pages/man7/path_resolution.7.html
const maxLinks = 40

// resolve resolves the symbolic links of a clean absolute directory name, like those
// of a layer's entries.
func (t tree) resolve(dir string, links int) string {
	if dir == "/" {
		return dir
	}
	parent := t.resolve(path.Dir(dir), links)
	name := path.Join(parent, path.Base(dir))
	file := t[strings.TrimPrefix(name, "/")]
	if file.mode.Type() != fs.ModeSymlink || links == maxLinks {
		return name
	}
	if path.IsAbs(file.target) {
		return t.resolve(path.Clean(file.target), links+1)
	}
	return t.resolve(path.Join(parent, file.target), links+1)
}

// remove deletes the chosen files at and below name.
func (t tree) remove(name string, chosen func(below string, file treeFile) bool) {
	for other, file := range t {
		below, ok := strings.CutPrefix(other, name)
		isBelow := ok && (below == "" || name == "" || strings.HasPrefix(below, "/"))
		if isBelow && chosen(below, file) {
			delete(t, other)
		}
	}
}
