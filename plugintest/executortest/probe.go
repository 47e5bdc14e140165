// SPDX-License-Identifier: Apache-2.0

//go:build linux

package executortest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/docker/docker/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	probePackage = "github.com/dovetailhq/plugin/plugintest/executortest/testdata/probe"
	probePath    = "/probe"
)

// BuildProbe puts the kit's program, a static binary, into an otherwise empty rootfs,
// which is deleted at the end of the test. The first call in a process builds the
// program. Its arguments are steps, which package internal/probe documents.
func BuildProbe(t testing.TB) (rootfs string) {
	t.Helper()
	program, err := probe()
	if err != nil {
		t.Fatalf("build the probe: %v", err)
	}
	rootfs = t.TempDir()
	// Another process writes the file. While this one has it open, each of its
	// children inherits the descriptor until execve, and the kernel runs no file that
	// is open for writing: ETXTBSY of execve(2).
	install := exec.Command("install", "-m", "755", "/dev/stdin", filepath.Join(rootfs, probePath))
	install.Stdin = bytes.NewReader(program)
	if output, err := install.CombinedOutput(); err != nil {
		t.Fatalf("install the probe: %v\n%s", err, output)
	}
	return rootfs
}

// probe returns the program.
var probe = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "probe")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, probePath)
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, probePackage)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, output)
	}
	return os.ReadFile(path)
})

// Spec returns docker's default spec with the probe in rootfs as its process and steps
// as the arguments.
func Spec(rootfs string, steps ...string) specs.Spec {
	spec := oci.DefaultSpec()
	spec.Root = &specs.Root{Path: rootfs}
	spec.Process.Args = append([]string{probePath}, steps...)
	spec.Process.Cwd = "/"
	spec.Process.Env = []string{"PATH=/"}
	spec.Process.NoNewPrivileges = true
	return spec
}
