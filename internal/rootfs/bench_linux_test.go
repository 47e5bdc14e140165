// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"bytes"
	stdgzip "compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/pkg/archive"
	"github.com/klauspost/compress/gzip"
	moby "github.com/moby/go-archive"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/members"
)

// workloads are the archives behind the figures in ARCHITECTURE.md.
func workloads(b *testing.B) []workload {
	prose := text(newRandom(1), 8<<20)
	return []workload{
		{"20000x4KiB", files(prose, 20000, 4<<10)},
		{"100x1MiB", files(prose, 100, 1<<20)},
	}
}

type workload struct {
	name    string
	entries []entry
}

func files(prose string, count, size int) []entry {
	var entries []entry
	random := newRandom(2)
	for i := range count {
		if i%100 == 0 {
			entries = append(entries, folder(fmt.Sprintf("dir%03d", i/100)))
		}
		from := random.IntN(len(prose) - size)
		// Most archives have whole seconds and therefore no extended headers.
		entries = append(entries, file(fmt.Sprintf("dir%03d/file%05d", i/100, i), prose[from:from+size]).
			with(func(h *tar.Header) { h.ModTime = then.Truncate(time.Second) }))
	}
	return entries
}

// BenchmarkUnpack compares unpackers of an uncompressed archive.
func BenchmarkUnpack(b *testing.B) {
	unpackers := []struct {
		name   string
		unpack func(ctx context.Context, dir string, archive io.Reader) error
	}{
		{"own", func(ctx context.Context, dir string, archive io.Reader) error {
			u, err := NewUnpacker(dir, Limits{})
			if err != nil {
				return err
			}
			defer u.Close()
			_, err = u.applyPlain(ctx, archive)
			return err
		}},
		{"containerd", func(ctx context.Context, dir string, archive io.Reader) error {
			_, err := containerd.Apply(ctx, dir, archive)
			return err
		}},
		{"go-archive", func(_ context.Context, dir string, archive io.Reader) error {
			return moby.Unpack(archive, dir, &moby.TarOptions{})
		}},
		{"tar", func(ctx context.Context, dir string, archive io.Reader) error {
			command := exec.CommandContext(ctx, "tar", "-x", "-C", dir)
			command.Stdin = archive
			return command.Run()
		}},
	}
	parent := b.TempDir()
	for _, w := range workloads(b) {
		packed := archive(b, w.entries...)
		for _, u := range unpackers {
			b.Run(w.name+"/"+u.name, func(b *testing.B) {
				b.SetBytes(int64(len(packed)))
				var spent time.Duration
				for range b.N {
					dir := scratch(b, parent)
					before := processorTime(b)
					assert.NilError(b, u.unpack(b.Context(), dir, bytes.NewReader(packed)))
					spent += processorTime(b) - before
				}
				// CPU time is more meaningful than time on a busy machine.
				b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// BenchmarkLayers compares layers that are inflated ahead with layers that are
// unpacked one after the other, and with gzip and tar.
func BenchmarkLayers(b *testing.B) {
	prose := text(newRandom(1), 8<<20)
	parent := b.TempDir()
	var packed [][]byte
	for range 8 {
		packed = append(packed, gzipped(b, archive(b, files(prose, 25, 1<<20)...)))
	}
	run := func(name string, unpack func(dir string) error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(8 * 25 << 20)
			for range b.N {
				assert.NilError(b, unpack(scratch(b, parent)))
			}
		})
	}
	run("ahead", func(dir string) error {
		u, err := NewUnpacker(dir, Limits{})
		assert.NilError(b, err)
		defer u.Close()
		var sources []Source
		for _, layer := range packed {
			sources = append(sources, stored(layer))
		}
		return u.ApplyAll(b.Context(), sources, func(int, Layer) error { return nil })
	})
	run("one-by-one", func(dir string) error {
		u, err := NewUnpacker(dir, Limits{})
		assert.NilError(b, err)
		defer u.Close()
		for _, layer := range packed {
			d, err := Decompress(b.Context(), bytes.NewReader(layer), Limits{})
			assert.NilError(b, err)
			if _, err := u.applyPlain(b.Context(), d); err != nil {
				return err
			}
		}
		return nil
	})
	run("stdlib-containerd", func(dir string) error {
		for _, layer := range packed {
			plain, err := stdgzip.NewReader(bytes.NewReader(layer))
			assert.NilError(b, err)
			if _, err := containerd.Apply(b.Context(), dir, plain); err != nil {
				return err
			}
		}
		return nil
	})
	run("gzip-tar", func(dir string) error {
		for _, layer := range packed {
			command := exec.CommandContext(b.Context(), "sh", "-c", "gzip -dc | tar -x -C "+dir)
			command.Stdin = bytes.NewReader(layer)
			if err := command.Run(); err != nil {
				return err
			}
		}
		return nil
	})
}

// BenchmarkSplit compares Split, one pass over a build context, with two passes:
// make the layer with the standard library's gzip, then unpack it.
func BenchmarkSplit(b *testing.B) {
	parent := b.TempDir()
	for _, w := range workloads(b) {
		packed := buildContext(b, w.entries...)
		b.Run(w.name+"/own", func(b *testing.B) {
			b.SetBytes(int64(len(packed)))
			var size counter
			for range b.N {
				dir := scratch(b, parent)
				size = 0
				_, err := Split(b.Context(), bytes.NewReader(packed), SplitOptions{Directory: dir, Layer: &size})
				assert.NilError(b, err)
			}
			b.ReportMetric(float64(size), "layer-bytes")
		})
		b.Run(w.name+"/plain", func(b *testing.B) {
			b.SetBytes(int64(len(packed)))
			var size counter
			for range b.N {
				dir := scratch(b, parent)
				size = 0
				hash := sha256.New()
				layer := stdgzip.NewWriter(&size)
				_, err := io.Copy(io.MultiWriter(layer, hash), bytes.NewReader(packed))
				assert.NilError(b, err)
				assert.NilError(b, layer.Close())
				_, err = containerd.Apply(b.Context(), dir, bytes.NewReader(packed))
				assert.NilError(b, err)
			}
			b.ReportMetric(float64(size), "layer-bytes")
		})
	}
}

// BenchmarkCompress compares compressors alone.
func BenchmarkCompress(b *testing.B) {
	data := []byte(text(newRandom(3), 32<<20))
	compressors := []struct {
		name string
		make func(io.Writer) (io.WriteCloser, error)
	}{
		{"stdlib", func(w io.Writer) (io.WriteCloser, error) { return stdgzip.NewWriter(w), nil }},
		{"klauspost-5", func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, 5) }},
		{"klauspost-6", func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, 6) }},
		{"members", func(w io.Writer) (io.WriteCloser, error) { return members.NewWriter(w, runtime.GOMAXPROCS(0)), nil }},
	}
	for _, c := range compressors {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			var size counter
			for range b.N {
				size = 0
				w, err := c.make(&size)
				assert.NilError(b, err)
				_, err = w.Write(data)
				assert.NilError(b, err)
				assert.NilError(b, w.Close())
			}
			b.ReportMetric(float64(size), "layer-bytes")
		})
	}
}

// scratch makes a directory while the disk is idle. It is removed only after all
// benchmarks, because ext4 makes files slowly for some seconds after many were
// removed, and the next benchmark would pay for it.
func scratch(b *testing.B, parent string) string {
	b.Helper()
	b.StopTimer()
	defer b.StartTimer()
	dir, err := os.MkdirTemp(parent, "rootfs")
	assert.NilError(b, err)
	assert.NilError(b, exec.Command("sync", "-f", dir).Run())
	return dir
}

// processorTime returns the CPU time of this process and its children.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		assert.NilError(b, syscall.Getrusage(who, &usage))
		sum += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return sum
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
