// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/bench/internal/subject"
	"github.com/dovetailhq/plugin/bench/internal/workload"
	"github.com/dovetailhq/plugin/plugintest"
)

// BenchmarkCreate installs from a build context in memory, and reports the size
// of the layer. The limit is writing the context to one file.
func BenchmarkCreate(b *testing.B) {
	for _, w := range []struct {
		name string
		tree workload.Tree
	}{
		{"100x1MiB", workload.Tree{Files: or(100, 2), FileBytes: 1 << 20}},
		{"20000x4KiB", workload.Tree{Files: or(20000, 200), FileBytes: 4 << 10}},
	} {
		b.Run(name("files", w.name), func(b *testing.B) {
			buildContext, err := io.ReadAll(w.tree.Context(plugintest.Config(volume)))
			assert.NilError(b, err)
			forEach(b, func(b *testing.B, start subject.Start) { benchmarkCreate(b, start, buildContext) })
			limit(b, func(b *testing.B) { benchmarkWrite(b, buildContext) })
		})
	}
}

func benchmarkCreate(b *testing.B, start subject.Start, buildContext []byte) {
	b.SetBytes(int64(len(buildContext)))
	var layerBytes int64
	measure(b, func() (func() error, func()) {
		m := newManager(b, start)
		source := io.NopCloser(bytes.NewReader(buildContext))
		create := func() error {
			return m.CreateFromContext(b.Context(), source, &types.PluginCreateOptions{RepoName: "bench/created"})
		}
		return create, func() {
			m.Shutdown()
			layerBytes = largestBlob(b, m.config.Root)
		}
	})
	b.ReportMetric(float64(layerBytes), "layer-B")
}

func largestBlob(b *testing.B, root string) int64 {
	b.Helper()
	var largest int64
	err := filepath.WalkDir(filepath.Join(root, "storage", "blobs"), func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			largest = max(largest, info.Size())
		}
		return err
	})
	assert.NilError(b, err)
	return largest
}

func benchmarkWrite(b *testing.B, data []byte) {
	b.SetBytes(int64(len(data)))
	measure(b, func() (func() error, func()) {
		dir := newDirectory(b)
		return func() error { return writeSynced(filepath.Join(dir, "file"), data) }, func() {}
	})
}

func writeSynced(path string, data []byte) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(data); err != nil {
		return err
	}
	return file.Sync()
}
