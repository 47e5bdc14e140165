// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// BenchmarkDev measures how long plugind dev takes from a saved file until the plugin
// of examples/volume is ready. See docs/decisions/building.md.
func BenchmarkDev(b *testing.B) {
	testenv.NeedsRoot(b, "runc")
	example, err := filepath.Abs("../../examples/volume")
	assert.NilError(b, err)
	b.Run("rootfs", func(b *testing.B) {
		source := b.TempDir()
		program := filepath.Join(source, "rootfs", "bin", "volume-driver")
		command := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, ".")
		command.Dir, command.Env = example, append(os.Environ(), "CGO_ENABLED=0")
		output, err := command.CombinedOutput()
		assert.NilError(b, err, "%s", output)
		copyFile(b, filepath.Join(example, "config.json"), filepath.Join(source, "config.json"))
		content, err := os.ReadFile(program)
		assert.NilError(b, err)
		saveAndAwait(b, source, func() {
			content = append(content, 0) // after the parts that are loaded
			assert.NilError(b, os.WriteFile(program, content, 0o755))
		})
	})
	b.Run("package", func(b *testing.B) {
		source := b.TempDir()
		files, err := os.ReadDir(example)
		assert.NilError(b, err)
		for _, file := range files {
			copyFile(b, filepath.Join(example, file.Name()), filepath.Join(source, file.Name()))
		}
		saves := 0
		saveAndAwait(b, source, func() {
			saves++
			text := fmt.Sprintf("package main\n\nimport \"log\"\n\nfunc init() { log.Print(\"save %d\") }\n", saves)
			assert.NilError(b, os.WriteFile(filepath.Join(source, "edited.go"), []byte(text), 0o600))
		})
	})
}

// processorTime returns the time that all cores have spent on this process, which other
// processes on the machine change little. The runtime and the compiler are not in it.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	assert.NilError(b, unix.Getrusage(unix.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func copyFile(b *testing.B, from, to string) {
	b.Helper()
	content, err := os.ReadFile(from)
	assert.NilError(b, err)
	assert.NilError(b, os.WriteFile(to, content, 0o600))
}

// saveAndAwait measures the wait after each save, and its parts.
func saveAndAwait(b *testing.B, source string, save func()) {
	d := develop(b, source)
	d.await("ready after ")
	parts := map[string]time.Duration{}
	before := processorTime(b)
	for b.Loop() {
		save()
		line := d.await("ready after ")
		_, list, _ := strings.Cut(line, ": ")
		for _, part := range strings.Split(list, ", ") {
			name, text, _ := strings.Cut(part, " ")
			took, err := time.ParseDuration(text)
			assert.NilError(b, err)
			parts[name] += took
		}
	}
	parts["cpu"] = processorTime(b) - before
	for name, took := range parts {
		b.ReportMetric(float64(took.Milliseconds())/float64(b.N), name+"-ms/op")
	}
	d.end()
}
