// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/bench/internal/subject"
	"github.com/dovetailhq/plugin/bench/internal/workload"
	"github.com/dovetailhq/plugin/plugintest/registry"
)

// BenchmarkPush pushes a plugin with one layer to an empty registry on this
// machine.
func BenchmarkPush(b *testing.B) {
	tree := workload.Tree{Files: or(100, 2), FileBytes: 1 << 20}
	forEach(b, func(b *testing.B, start subject.Start) {
		m := newManager(b, start)
		defer m.Shutdown()
		pushed := 0
		measure(b, func() (func() error, func()) {
			to := registry.New()
			pushed++
			plugin := fmt.Sprintf("%s/bench/pushed%d:latest", to.Start(b), pushed)
			assert.NilError(b, m.createTree(tree, plugin))
			push := func() error { return m.Push(b.Context(), plugin, nil, nil, io.Discard) }
			return push, func() {
				_, data := to.Manifest(fmt.Sprintf("bench/pushed%d", pushed), "latest")
				assert.Assert(b, data != nil)
			}
		})
	})
}

// blobsOfPlugin is the number of blobs of a created plugin: config, manifest
// and layer.
const blobsOfPlugin = 3

// BenchmarkGC deletes unreferenced blobs while one plugin is installed.
func BenchmarkGC(b *testing.B) {
	unreferenced := or(10000, 10)
	forEach(b, func(b *testing.B, start subject.Start) {
		m := newManager(b, start)
		defer m.Shutdown()
		m.create("bench/kept")
		blobs := filepath.Join(m.config.Root, "storage", "blobs", "sha256")
		measure(b, func() (func() error, func()) {
			for i := range unreferenced {
				data := fmt.Sprint("blob", i)
				assert.NilError(b, os.WriteFile(filepath.Join(blobs, digest.FromString(data).Encoded()), []byte(data), 0o444))
			}
			collect := func() error {
				m.GC()
				return nil
			}
			return collect, func() { assert.Check(b, count(b, blobs) <= blobsOfPlugin) }
		})
	})
}

func count(b *testing.B, dir string) int {
	b.Helper()
	entries, err := os.ReadDir(dir)
	assert.NilError(b, err)
	return len(entries)
}
