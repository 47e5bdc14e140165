// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/test/crash/drive"
	"github.com/dovetailhq/plugin/test/crash/history"
)

// TestVersionsAreTheSameFromEverywhere installs a version from a build context, from
// the registry and from docker 1.12, and upgrades another one to it.
func TestVersionsAreTheSameFromEverywhere(t *testing.T) {
	paths := newPaths(t)
	executor := &plugintest.Executor{}
	manager, err := open(paths, executor)
	assert.NilError(t, err)
	defer manager.Shutdown()

	assert.NilError(t, manager.CreateFromContext(t.Context(), versions().BuildContext("v1"), created("created:latest")))
	assert.NilError(t, manager.PullVersion("v1", "pulled:latest"))
	assert.NilError(t, manager.ImportVersion("v1", "imported:latest"))
	assert.Check(t, errdefs.IsConflict(manager.ImportVersion("v1", "imported:latest")))
	assert.NilError(t, manager.PullVersion("v0", "upgraded:latest"))
	assert.NilError(t, manager.Set("upgraded:latest", []string{"DEBUG=7"}))
	assert.NilError(t, manager.UpgradeVersion("v1", "upgraded:latest"))
	assert.Check(t, errdefs.IsConflict(manager.PullVersion("v1", "pulled:latest")))
	assert.Check(t, errdefs.IsNotFound(manager.UpgradeVersion("v1", "absent:latest")))

	found, err := drive.Observe(manager)
	assert.NilError(t, err)
	installed := history.State{Installed: true, Debug: history.DefaultDebug, Version: "v1"}
	changed := installed
	changed.Debug = "7"
	assert.DeepEqual(t, found, map[string]history.State{
		"created:latest": installed, "imported:latest": installed, "pulled:latest": installed, "upgraded:latest": changed,
	})
	garbage := filepath.Join(paths.Root, "storage", "blobs", "sha256", digest.FromString("x").Encoded())
	assert.NilError(t, os.WriteFile(garbage, []byte("x"), 0o600))
	assert.NilError(t, manager.Reclaim())
	assert.DeepEqual(t, check(paths, manager.Manager, executor), []string(nil))

	_, _, err = manager.find("not a tag")
	assert.ErrorContains(t, err, "invalid reference format")
	_, _, err = manager.find("v99")
	assert.Check(t, errdefs.IsNotFound(err), "%v", err)
}
