// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/rootfs"
)

// BenchmarkSync measures how long it takes until an unpacked rootfs survives a
// power cut, on the disk of TMPDIR. It compares one syncfs, also after another
// program has written much, with an fsync of every file and directory, and with
// unpacking the rootfs again from its verified layer at the next start. See
// ARCHITECTURE.md for the choice.
func BenchmarkSync(b *testing.B) {
	for _, shape := range []struct {
		name        string
		count, size int
	}{{"100x1MiB", 100, 1 << 20}, {"20000x4KiB", 20000, 4 << 10}} {
		layer := layerOf(b, shape.count, shape.size)
		for _, way := range []struct {
			name  string
			dirty int64 // bytes that another program has written
			sync  func(dir string) error
		}{
			{"syncfs", 0, syncTree},
			{"syncfs after 256 MiB", 256 << 20, syncTree},
			{"fsync each", 0, func(dir string) error { return syncEach(dir, 1) }},
			{"fsync 16 at once", 0, func(dir string) error { return syncEach(dir, 16) }},
		} {
			b.Run(shape.name+"/"+way.name, func(b *testing.B) {
				for range b.N {
					b.StopTimer()
					dir, other := b.TempDir(), filepath.Join(b.TempDir(), "other")
					assert.NilError(b, syncTree(dir))
					unpack(b, dir, layer)
					assert.NilError(b, os.WriteFile(other, make([]byte, way.dirty), 0o600))
					b.StartTimer()
					assert.NilError(b, way.sync(dir))
				}
			})
		}
		b.Run(shape.name+"/unpack again", func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				dir := b.TempDir()
				assert.NilError(b, syncTree(dir))
				b.StartTimer()
				unpack(b, dir, layer)
			}
		})
	}
}

// layerOf returns a compressed layer of text files.
func layerOf(b *testing.B, count, size int) []byte {
	b.Helper()
	words := []string{"plugin ", "volume ", "network ", "mount ", "socket ", "layer ", "digest ", "\n"}
	random := rand.New(rand.NewPCG(1, 2))
	var layer bytes.Buffer
	compressor := gzip.NewWriter(&layer)
	archive := tar.NewWriter(compressor)
	for i := range count {
		var content bytes.Buffer
		for content.Len() < size {
			content.WriteString(words[random.IntN(len(words))])
		}
		header := &tar.Header{Name: fmt.Sprintf("d%d/f%d", i/100, i), Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(size)}
		assert.NilError(b, archive.WriteHeader(header))
		_, err := archive.Write(content.Bytes()[:size])
		assert.NilError(b, err)
	}
	assert.NilError(b, archive.Close())
	assert.NilError(b, compressor.Close())
	return layer.Bytes()
}

// syncTree makes a directory durable as an install does.
func syncTree(dir string) error {
	tree, err := (*durable.FS)(nil).OpenTree(dir)
	if err != nil {
		return err
	}
	defer tree.Close()
	return tree.Sync()
}

// unpack unpacks a layer.
func unpack(b *testing.B, dir string, layer []byte) {
	b.Helper()
	open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer)), nil }
	unpacker, err := rootfs.NewUnpacker(dir, rootfs.Limits{})
	assert.NilError(b, err)
	defer unpacker.Close()
	assert.NilError(b, unpacker.ApplyAll(b.Context(), []rootfs.Source{open}, func(int, rootfs.Layer) error { return nil }))
}

func syncEach(dir string, atOnce int) error {
	var group errgroup.Group
	group.SetLimit(atOnce)
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		group.Go(func() error {
			file, err := os.Open(path)
			if err != nil {
				return err
			}
			defer file.Close()
			return file.Sync()
		})
		return nil
	})
	if waitErr := group.Wait(); err == nil {
		err = waitErr
	}
	return err
}
