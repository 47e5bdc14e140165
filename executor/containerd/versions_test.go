// SPDX-License-Identifier: Apache-2.0

//go:build linux

package containerd_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// versionVariable is set when these tests run again with another containerd.
const versionVariable = "CONTAINERD_TEST_VERSION"

// TestNewerContainerds runs all tests of this package with newer versions of
// containerd and its shim than the installed ones.
func TestNewerContainerds(t *testing.T) {
	if version := os.Getenv(versionVariable); version != "" {
		own, err := exec.Command("containerd", "--version").Output()
		assert.NilError(t, err)
		assert.Assert(t, strings.Contains(string(own), " "+version), "%s", own)
		return
	}
	for _, version := range []struct{ name, module string }{
		{"1.7", "../../tools/containerd1"},
		{"2.1", "../../tools/containerd2"},
	} {
		t.Run(version.name, func(t *testing.T) {
			bin := t.TempDir()
			build := exec.Command("go", "build", "-tags=no_cri,no_btrfs,no_zfs,no_devmapper", "-o", bin+"/", "tool")
			build.Dir = version.module
			build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
			output, err := build.CombinedOutput()
			assert.NilError(t, err, "%s", output)

			// A client without an answer behaves the same with each version.
			again := exec.Command(os.Args[0], "-test.v", "-test.skip=^(TestContainerdHangs|TestCloseWhileContainerdIsStopped)$")
			again.Env = append(os.Environ(), versionVariable+"="+version.name, "PATH="+bin+":"+os.Getenv("PATH"))
			output, err = again.CombinedOutput()
			assert.NilError(t, err, "%s", output)
		})
	}
}
