// Package workload makes the inputs of the benchmarks: file trees of text, as
// archives, as build contexts and as layers. The same arguments give the same
// bytes in every run.
package workload

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
)

// filesInDirectory is how many files each directory holds.
const filesInDirectory = 100

// modified is when every file was modified. Most archives have whole seconds.
var modified = time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)

var text = sync.OnceValue(prose)

// Tree is a tree of files of text. Its Seed tells trees of equal size apart.
type Tree struct {
	Files     int
	FileBytes int64
	Seed      uint64
}

// Bytes is how much the files hold together.
func (t Tree) Bytes() int64 { return int64(t.Files) * t.FileBytes }

// write adds the tree to an archive, below prefix.
func (t Tree) write(w *tar.Writer, prefix string) error {
	random := newRandom(t.Seed + 2)
	for i := range t.Files {
		directory := fmt.Sprintf("%sdir%03d-%d/", prefix, i/filesInDirectory, t.Seed)
		if i%filesInDirectory == 0 {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: directory, Mode: 0o755, ModTime: modified}); err != nil {
				return err
			}
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("%sfile%05d", directory, i), Mode: 0o644, Size: t.FileBytes, ModTime: modified}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		if err := writeText(w, t.FileBytes, random.IntN); err != nil {
			return err
		}
	}
	return nil
}

// writeText writes pieces of text from anywhere in it.
func writeText(w io.Writer, n int64, somewhere func(int) int) error {
	for n > 0 {
		piece := text()[somewhere(len(text())/2):]
		piece = piece[:min(n, int64(len(piece)), proseBytes/2)]
		if _, err := w.Write(piece); err != nil {
			return err
		}
		n -= int64(len(piece))
	}
	return nil
}

// Layer is a compressed archive and the digest of what is in it.
type Layer struct {
	Blob   []byte
	DiffID digest.Digest
}

// Layer packs the tree with gzip.
func (t Tree) Layer() (Layer, error) {
	var blob bytes.Buffer
	compressed := gzip.NewWriter(&blob)
	plain := digest.SHA256.Digester()
	archive := tar.NewWriter(io.MultiWriter(compressed, plain.Hash()))
	if err := t.write(archive, ""); err != nil {
		return Layer{}, err
	}
	if err := archive.Close(); err != nil {
		return Layer{}, err
	}
	if err := compressed.Close(); err != nil {
		return Layer{}, err
	}
	return Layer{Blob: blob.Bytes(), DiffID: plain.Digest()}, nil
}

// Context returns a build context whose rootfs is the tree. It is made as it
// is read and takes little memory; close it to stop that.
func (t Tree) Context(config types.PluginConfig) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(t.writeContext(w, config)) }()
	return r
}

func (t Tree) writeContext(w io.Writer, config types.PluginConfig) error {
	encoded, err := json.Marshal(config)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	header := &tar.Header{Typeflag: tar.TypeReg, Name: "config.json", Mode: 0o644, Size: int64(len(encoded)), ModTime: modified}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	if _, err := archive.Write(encoded); err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "rootfs/", Mode: 0o755, ModTime: modified}); err != nil {
		return err
	}
	if err := t.write(archive, "rootfs/"); err != nil {
		return err
	}
	return archive.Close()
}

// Prepare makes what all inputs are cut from, so that it does not count for
// the first one.
func Prepare() { text() }

// ID is a plugin id that is as likely as any other.
func ID(i int) string {
	return strings.TrimPrefix(digest.FromString(fmt.Sprint(i)).String(), "sha256:")
}
