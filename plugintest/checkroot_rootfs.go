// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// checkRootfs checks that a rootfs has all files of its layers. It may have more,
// because runtimes make mount points.
func (c *rootChecker) checkRootfs(id string, layers []digest.Digest) {
	dir := filepath.Join(c.root, id, "rootfs")
	if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
		c.problem("plugin %s: it has no rootfs", id)
		return
	}
	if c.SelfModifying {
		return
	}
	expected := tree{}
	for _, dgst := range layers {
		if c.blobs[dgst] != blobIntact {
			return // already reported
		}
		if err := c.applyLayer(expected, dgst); err != nil {
			c.problem("plugin %s: read layer %s: %v", id, dgst, err)
			return
		}
	}
	for _, name := range slices.Sorted(maps.Keys(expected)) {
		if err := expected[name].compare(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			c.problem("plugin %s: rootfs/%s %v", id, name, err)
		}
	}
}

func (c *rootChecker) applyLayer(expected tree, dgst digest.Digest) error {
	file, err := os.Open(c.blobPath(dgst))
	if err != nil {
		return err
	}
	defer file.Close()
	archive, end, err := decompress(file)
	if err != nil {
		return err
	}
	defer end()
	return expected.apply(archive)
}

// decompress detects the compression of a layer and returns the archive.
func decompress(compressed io.Reader) (archive io.Reader, end func(), err error) {
	buffered := bufio.NewReader(compressed)
	magic, _ := buffered.Peek(4)
	switch {
	case strings.HasPrefix(string(magic), "\x1f\x8b"):
		r, err := gzip.NewReader(buffered)
		return r, func() {}, err
	case string(magic) == "\x28\xb5\x2f\xfd":
		r, err := zstd.NewReader(buffered)
		if err != nil {
			return nil, nil, err
		}
		return r, r.Close, nil
	}
	return buffered, func() {}, nil
}

// compare returns an error if the file at path differs from the file of the layer.
func (f treeFile) compare(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("is missing: %w", err)
	}
	if got, want := info.Mode().Type(), f.mode.Type(); got != want {
		return fmt.Errorf("has type %s instead of %s", got, want)
	}
	const mode = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	if f.mode.Type() != fs.ModeSymlink && info.Mode()&mode != f.mode&mode {
		return fmt.Errorf("has mode %s instead of %s", info.Mode(), f.mode)
	}
	switch f.mode.Type() {
	case 0:
		return f.compareContent(path)
	case fs.ModeSymlink:
		if target, err := os.Readlink(path); err != nil || target != f.target {
			return fmt.Errorf("leads to %q instead of %q", target, f.target)
		}
	}
	return nil
}

func (f treeFile) compareContent(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("can't be read: %w", err)
	}
	defer file.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	if err != nil {
		return fmt.Errorf("can't be read: %w", err)
	}
	if size != f.size || [sha256.Size]byte(hash.Sum(nil)) != f.sum {
		return fmt.Errorf("has %d bytes that are not the %d of its layer", size, f.size)
	}
	return nil
}
