// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/build"
	"github.com/dovetailhq/plugin/internal/imagefile/imagefiletest"
)

// benchFiles of 1 MiB are the tree of BenchmarkBuild.
const benchFiles = 200

// benchTree returns the files of the benchmark, below a directory. They compress to
// about a half, like programs.
func benchTree(below string) []imagefiletest.Entry {
	random := rand.New(rand.NewPCG(1, 1))
	files := make([]imagefiletest.Entry, benchFiles)
	for i := range files {
		var content strings.Builder
		for content.Len() < 1<<20 {
			fmt.Fprintf(&content, "%x", random.Uint64())
		}
		files[i] = imagefiletest.File(fmt.Sprintf("%sfile%03d", below, i), content.String()[:1<<20], 0o755)
	}
	return files
}

// BenchmarkBuild compares a build from an archive of docker save, and its install, with
// a create of the same tree. See docs/decisions/building.md.
func BenchmarkBuild(b *testing.B) {
	image := imagefiletest.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}, Layers: [][]byte{imagefiletest.Tar(b, benchTree("")...)}}
	archive := image.Docker(b).WriteArchive(b)
	buildContext := imagefiletest.Files{"context.tar": nil}.WriteDirectory(b) + "/context.tar"
	entries := append([]imagefiletest.Entry{imagefiletest.File("config.json", layoutConfig, 0o644), imagefiletest.Directory("rootfs", 0o755)}, benchTree("rootfs/")...)
	assert.NilError(b, os.WriteFile(buildContext, imagefiletest.Tar(b, entries...), 0o600))
	for _, way := range []struct {
		name string
		do   func(w *world) error
	}{
		{"create", func(w *world) error {
			file, err := os.Open(buildContext)
			if err != nil {
				return err
			}
			return w.CreateFromContext(b.Context(), file, &types.PluginCreateOptions{RepoName: "p"})
		}},
		{"build", func(*world) error { return buildArchive(b, archive, nil) }},
		{"build and install", func(w *world) error { return buildArchive(b, archive, w) }},
	} {
		b.Run(way.name, func(b *testing.B) {
			b.SetBytes(benchFiles << 20)
			var cpu time.Duration
			for b.Loop() {
				b.StopTimer()
				w := newWorld(b).start()
				before := processorTime(b)
				b.StartTimer()
				assert.NilError(b, way.do(w))
				b.StopTimer()
				cpu += processorTime(b) - before
				w.Shutdown()
				assert.NilError(b, os.RemoveAll(w.Config.Root))
				b.StartTimer()
			}
			b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

// processorTime returns the time that all cores have spent on this process, which other
// processes on the machine change little.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	assert.NilError(b, unix.Getrusage(unix.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// buildArchive builds a plugin, and writes its layout or installs it.
func buildArchive(b *testing.B, archive string, into *world) error {
	builder, err := build.New(b.TempDir(), build.Options{Config: []byte(layoutConfig)})
	if err != nil {
		return err
	}
	defer func() { assert.NilError(b, builder.Close()) }()
	p, err := builder.Build(b.Context(), build.Source{Path: archive})
	if err != nil {
		return err
	}
	if into == nil {
		return builder.WriteLayout(b.Context(), io.Discard, p.Manifest)
	}
	layout, err := builder.Layout(p.Manifest)
	if err != nil {
		return err
	}
	return into.CreateFromLayout(b.Context(), layout, &types.PluginCreateOptions{RepoName: "p"})
}
