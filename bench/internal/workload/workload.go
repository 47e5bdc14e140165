// SPDX-License-Identifier: Apache-2.0

// Package workload makes the inputs of the benchmarks: trees of text files, as
// archives, build contexts and layers. The same arguments give the same bytes
// in every run.
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

// filesInDirectory is the number of files in each directory.
const filesInDirectory = 100

// modified is the modification time of every file. Most archives have whole
// seconds.
var modified = time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)

var text = sync.OnceValue(prose)

// Tree is a tree of text files. Trees of equal size differ by Seed.
type Tree struct {
	Files     int
	FileBytes int64
	Seed      uint64
}

// Bytes returns the size of all files.
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

// writeText writes pieces of the text from random places.
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

// Layer is a compressed archive with the digest of the uncompressed one.
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

// Context returns a build context with the tree as rootfs. It is made while it
// is read and takes little memory. Close stops that.
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

// Prepare makes the text of all inputs, so that the first input is not slower.
func Prepare() { text() }

// ID returns a plugin ID; all IDs are equally likely.
func ID(i int) string {
	return strings.TrimPrefix(digest.FromString(fmt.Sprint(i)).String(), "sha256:")
}
