// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/test/crash/drive"
)

func TestSkipper(t *testing.T) {
	skip := skipper("/root", regexp.MustCompile(`^(tmp|\.)$`))
	for path, want := range map[string]bool{"/root": true, "/root/tmp": true, "/root/tmp/x": false, "/root/storage": false, "/": false} {
		assert.Equal(t, skip(path), want, path)
	}
}

func newPaths(t *testing.T) drive.Paths {
	t.Helper()
	execRoot, err := os.MkdirTemp("", "dt") // a socket's path must be short
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, os.RemoveAll(execRoot)) })
	return drive.Paths{Root: filepath.Join(t.TempDir(), "root"), ExecRoot: execRoot}
}

func created(name string) *types.PluginCreateOptions {
	return &types.PluginCreateOptions{RepoName: name}
}

func TestOpenAndCheck(t *testing.T) {
	paths := newPaths(t)
	executor := &plugintest.Executor{}
	defer executor.KillAll()

	manager, err := open(paths, executor)
	assert.NilError(t, err)
	assert.Check(t, durable.Default.SkipSync == nil, "syncs are skipped without the environment variable")
	assert.Equal(t, len(check(paths, manager.Manager, executor)), 0)
	assert.NilError(t, os.Mkdir(filepath.Join(paths.Root, "tmp", "left"), 0o700))
	assert.DeepEqual(t, check(paths, manager.Manager, executor), []string{"stage tmp/left is left"})
	assert.NilError(t, os.RemoveAll(paths.Root))
	problems := check(paths, manager.Manager, executor)
	assert.Equal(t, len(problems), 1)
	assert.Check(t, strings.Contains(problems[0], "no such file or directory"))
	manager.Shutdown()

	t.Setenv(skipSync, "^storage$")
	defer func() { durable.Default = durable.FS{} }()
	manager, err = open(paths, executor)
	assert.NilError(t, err)
	defer manager.Shutdown()
	assert.Check(t, durable.Default.SkipSync(filepath.Join(paths.Root, "storage")))
}
