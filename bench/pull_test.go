// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/bench/internal/subject"
	"github.com/dovetailhq/plugin/bench/internal/workload"
	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/registry"
)

const repository = "bench/pulled"

// shipment is a plugin in a registry on this machine.
type shipment struct {
	*registry.Registry
	reference reference.Named
	blobs     []string // addresses of the layers
	bytes     int64    // size of the unpacked layers
}

func ship(b *testing.B, trees ...workload.Tree) *shipment {
	b.Helper()
	s := &shipment{Registry: registry.New()}
	host := s.Start(b)
	config := plugintest.Config(volume)
	config.Network.Type = "" // asks for nothing, and needs no grant
	config.Rootfs = &types.PluginConfigRootfs{Type: "layers"}
	var layers [][]byte
	for _, tree := range trees {
		layer, err := tree.Layer()
		assert.NilError(b, err)
		config.Rootfs.DiffIds = append(config.Rootfs.DiffIds, layer.DiffID.String())
		layers = append(layers, layer.Blob)
		s.blobs = append(s.blobs, fmt.Sprintf("http://%s/v2/%s/blobs/%s", host, repository, digest.FromBytes(layer.Blob)))
		s.bytes += tree.Bytes()
	}
	encoded, err := json.Marshal(config)
	assert.NilError(b, err)
	s.PutPlugin(repository, "latest", encoded, layers...)
	s.reference, err = reference.ParseNormalizedNamed(host + "/" + repository + ":latest")
	assert.NilError(b, err)
	return s
}

// layerRequests returns the number of requests for layers since the last call.
func (s *shipment) layerRequests() int {
	count := 0
	for _, request := range s.Requests() {
		for _, blob := range s.blobs {
			if request.Method == http.MethodGet && strings.HasSuffix(blob, request.Path) {
				count++
			}
		}
	}
	return count
}

func trees(count int, tree workload.Tree) []workload.Tree {
	all := make([]workload.Tree, count)
	for i := range all {
		all[i] = tree
		all[i].Seed = uint64(i)
	}
	return all
}

// BenchmarkPull installs from a registry on this machine. The limit is
// downloading the same layers with curl and unpacking them with gzip and tar.
func BenchmarkPull(b *testing.B) {
	for _, w := range []struct {
		name   string
		layers []workload.Tree
	}{
		{"1x200MiB", trees(1, workload.Tree{Files: or(200, 2), FileBytes: 1 << 20})},
		{"8x25MiB", trees(8, workload.Tree{Files: or(25, 1), FileBytes: 1 << 20})},
		{"20000x4KiB", trees(1, workload.Tree{Files: or(20000, 200), FileBytes: 4 << 10})},
	} {
		b.Run(name("layers", w.name), func(b *testing.B) {
			from := ship(b, w.layers...)
			forEach(b, func(b *testing.B, start subject.Start) { benchmarkPull(b, start, from) })
			limit(b, func(b *testing.B) { benchmarkFetch(b, from) })
		})
	}
}

func benchmarkPull(b *testing.B, start subject.Start, from *shipment) {
	b.SetBytes(from.bytes)
	measure(b, func() (func() error, func()) {
		m := newManager(b, start)
		return func() error { return m.Pull(b.Context(), from.reference, "bench/installed") }, m.Shutdown
	})
}

func benchmarkFetch(b *testing.B, from *shipment) {
	b.SetBytes(from.bytes)
	measure(b, func() (func() error, func()) {
		dir := newDirectory(b)
		return func() error { return from.fetch(dir) }, func() {}
	})
}

func (s *shipment) fetch(dir string) error {
	for _, blob := range s.blobs {
		fetch := exec.Command("sh", "-c", `curl -sSf "$1" | gzip -dc | tar -x -C "$2"`, "sh", blob, dir)
		if out, err := fetch.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	return nil
}

// BenchmarkPullPresent installs stored content again under another name, and
// counts the requests for layers.
func BenchmarkPullPresent(b *testing.B) {
	from := ship(b, workload.Tree{Files: or(200, 2), FileBytes: 1 << 20})
	forEach(b, func(b *testing.B, start subject.Start) {
		requests := 0
		measure(b, func() (func() error, func()) {
			m := newManager(b, start)
			assert.NilError(b, m.Pull(b.Context(), from.reference, "bench/first"))
			from.layerRequests()
			pull := func() error { return m.Pull(b.Context(), from.reference, "bench/second") }
			return pull, func() {
				requests += from.layerRequests()
				m.Shutdown()
			}
		})
		b.ReportMetric(float64(requests)/float64(b.N), "layer-requests")
	})
}
