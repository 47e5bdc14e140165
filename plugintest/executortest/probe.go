//go:build linux

package executortest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/docker/docker/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	probePackage = "github.com/dovetailhq/plugin/plugintest/executortest/testdata/probe"
	probePath    = "/probe"
)

// BuildProbe builds the kit's program, static and alone in a rootfs, and
// returns that rootfs. It lasts as long as the test. The steps that the
// program takes as arguments are documented in its package, internal/probe.
func BuildProbe(t testing.TB) (rootfs string) {
	t.Helper()
	rootfs = t.TempDir()
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(rootfs, probePath), probePackage)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the probe: %v\n%s", err, output)
	}
	return rootfs
}

// Spec returns docker's default spec with the probe of rootfs as its process,
// taking steps.
func Spec(rootfs string, steps ...string) specs.Spec {
	spec := oci.DefaultSpec()
	spec.Root = &specs.Root{Path: rootfs}
	spec.Process.Args = append([]string{probePath}, steps...)
	spec.Process.Cwd = "/"
	spec.Process.Env = []string{"PATH=/"}
	spec.Process.NoNewPrivileges = true
	return spec
}
