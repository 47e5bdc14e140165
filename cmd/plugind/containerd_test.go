// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gotest.tools/v3/assert"
)

// startContainerd starts a containerd for the test and returns its address.
// containerd need not answer yet.
func startContainerd(t testing.TB) (address string) {
	t.Helper()
	directory, err := os.MkdirTemp("", "c") // short, because sockets are below it
	assert.NilError(t, err)
	address = filepath.Join(directory, "s")
	config := filepath.Join(directory, "config.toml")
	assert.NilError(t, os.WriteFile(config, []byte(fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = %q
[plugins."io.containerd.internal.v1.opt"]
  path = %q
`, directory+"/root", directory+"/state", address, directory+"/opt")), 0o600))
	daemon := exec.Command("containerd", "--config", config)
	assert.NilError(t, daemon.Start(), "the tests need containerd, and root")
	t.Cleanup(func() {
		assert.Check(t, daemon.Process.Kill())
		_ = daemon.Wait() // ended by the signal
		assert.Check(t, os.RemoveAll(directory))
	})
	return address
}
