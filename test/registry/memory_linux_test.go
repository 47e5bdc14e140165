// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/remote"
	"github.com/dovetailhq/plugin/internal/rootfs"
)

const (
	largeBytes = 256 << 20
	// maxGrowth bounds the memory of a transfer above an idle process, whatever
	// its size.
	maxGrowth = 64 << 20
)

// TestMemoryDoesNotGrowWithLayers pulls a large layer and unpacks it as it
// arrives.
func TestMemoryDoesNotGrowWithLayers(t *testing.T) {
	server := newLargePlugin(t)
	host := httptest.NewServer(server)
	t.Cleanup(host.Close)
	user := newMachine(t, strings.TrimPrefix(host.URL, "http://"), nil)
	dir := t.TempDir()
	unpacker, err := rootfs.NewUnpacker(dir, rootfs.Limits{})
	assert.NilError(t, err)
	defer unpacker.Close()

	debug.FreeOSMemory()
	idle := footprint()
	p, err := user.client.Resolve(t.Context(), user.request(t, "group/plugin"))
	assert.NilError(t, err)
	defer p.Close()
	peak := idle
	err = p.Fetch(t.Context(), func(ctx context.Context, layers []*remote.Layer) error {
		var sources []rootfs.Source
		for _, layer := range layers {
			sources = append(sources, func(ctx context.Context) (io.ReadCloser, error) {
				blob, err := layer.Open(ctx)
				return &gauge{ReadCloser: blob, peak: &peak}, err
			})
		}
		return unpacker.ApplyAll(ctx, sources, func(int, rootfs.Layer) error { return nil })
	})
	assert.NilError(t, err)
	info, err := os.Stat(filepath.Join(dir, "large"))
	assert.NilError(t, err)
	assert.Equal(t, info.Size(), int64(largeBytes))
	t.Logf("%d MiB above idle", (peak-idle)>>20)
	assert.Check(t, peak-idle <= maxGrowth, "%d MiB above idle", (peak-idle)>>20)
}

// footprint returns the memory that the process holds for its heap and stacks.
func footprint() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Sys - stats.HeapReleased
}

// gauge samples the footprint. One goroutine reads it.
type gauge struct {
	io.ReadCloser
	peak *uint64
	read int
}

func (g *gauge) Read(p []byte) (int, error) {
	n, err := g.ReadCloser.Read(p)
	if g.read += n; g.read > 4<<20 {
		g.read = 0
		*g.peak = max(*g.peak, footprint())
	}
	return n, err
}

// largePlugin is a registry with one plugin, whose layer is generated while it
// is sent.
type largePlugin struct {
	manifest []byte
	layer    ocispec.Descriptor
}

const largeConfig = `{"description":"large"}`

func newLargePlugin(t *testing.T) *largePlugin {
	t.Helper()
	digester := digest.Canonical.Digester()
	var size counter
	assert.NilError(t, writeLayer(io.MultiWriter(digester.Hash(), &size)))
	s := &largePlugin{layer: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digester.Digest(), Size: int64(size)}}
	var err error
	s.manifest, err = json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    ocispec.Descriptor{MediaType: remote.MediaTypeConfig, Digest: digest.FromString(largeConfig), Size: int64(len(largeConfig))},
		Layers:    []ocispec.Descriptor{s.layer},
	})
	assert.NilError(t, err)
	return s
}

func (s *largePlugin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.Contains(r.URL.Path, "/manifests/"):
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(s.manifest).String())
		w.Header().Set("Content-Length", fmt.Sprint(len(s.manifest)))
		_, _ = w.Write(s.manifest)
	case strings.Contains(r.URL.Path, digest.FromString(largeConfig).String()):
		_, _ = io.WriteString(w, largeConfig)
	default:
		w.Header().Set("Content-Length", fmt.Sprint(s.layer.Size))
		_ = writeLayer(w)
	}
}

func writeLayer(w io.Writer) error {
	archive := tar.NewWriter(w)
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "large", Mode: 0o644, Size: largeBytes}); err != nil {
		return err
	}
	if _, err := io.CopyN(archive, rand.NewChaCha8([32]byte{2}), largeBytes); err != nil {
		return err
	}
	return archive.Close()
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
