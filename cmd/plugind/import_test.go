// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// plugindOf runs a command line of plugind.
func plugindOf(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	command := newCommand()
	command.SetArgs(args)
	command.SetOut(&out)
	err := command.ExecuteContext(t.Context())
	return out.String(), err
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		assert.NilError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		assert.NilError(t, os.WriteFile(path, []byte(content), 0o644))
	}
}

const oldManifest = `{"manifestVersion": "v0", "entrypoint": ["/plugin"], "interface": {"types": ["docker.volumedriver/1.0"], "socket": "plugin.sock"}}`

func TestImportCommand(t *testing.T) {
	h := newHouse(t)
	docker, stop := h.start(t)
	defer stop()
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"one/rootfs/plugin":  "a program",
		"one/manifest.json":  oldManifest,
		"two/manifest.json":  oldManifest,
		"mine/rootfs/plugin": "a program",
		"mine/manifest.json": oldManifest,
		"plugins.json": `{"one": {"plugin": {"Id": "one", "Name": "example/one", "Tag": "latest", "Active": true}},
			"two": {"plugin": {"Id": "two", "Name": "example/two", "Tag": "latest"}}}`,
	})
	out, err := plugindOf(t, "import", "--host", h.options.host, dir)
	assert.Check(t, is.ErrorContains(err, "1 of 2 plugins were not imported"))
	lines := strings.Split(strings.TrimSpace(out), "\n")
	assert.Equal(t, len(lines), 2, out)
	p, _, err := docker.PluginInspectWithRaw(t.Context(), "one")
	assert.NilError(t, err)
	assert.Equal(t, p.Name, "example/one:latest")
	assert.Check(t, p.Enabled)
	assert.Check(t, is.Contains(lines[0], p.ID))
	assert.Check(t, is.Contains(lines[1], "two"))
	assert.Check(t, is.Contains(lines[1], `not imported: plugin "two" of docker 1.12: rootfs: `))

	out, err = plugindOf(t, "import", "--host", h.options.host, filepath.Join(dir, "mine"), "example/mine")
	assert.NilError(t, err)
	assert.Check(t, strings.HasPrefix(out, "example/mine:latest"), out)
	assert.NilError(t, docker.PluginEnable(t.Context(), "example/mine", types.PluginEnableOptions{}))

	for _, args := range [][]string{
		{dir, "example/again"},
		{filepath.Join(dir, "mine"), "example/mine"},
		{filepath.Join(dir, "absent")},
	} {
		_, err = plugindOf(t, append([]string{"import", "--host", h.options.host}, args...)...)
		assert.Check(t, is.ErrorContains(err, "import "+args[0]+": "))
	}
	socket, err := h.options.socket()
	assert.NilError(t, err)
	_, err = askImport(t.Context(), socket, nil)
	assert.Check(t, is.ErrorContains(err, `invalid directory: "" is not an absolute path`))
}

func TestImportCommandNeedsPlugind(t *testing.T) {
	dir := t.TempDir()
	_, err := plugindOf(t, "import", "--host", "unix://"+filepath.Join(dir, "s"), dir)
	assert.Check(t, is.ErrorContains(err, "no such file or directory"))
	_, err = plugindOf(t, "import", "--host", "tcp://x", dir)
	assert.Check(t, is.ErrorContains(err, "--host"))
	_, err = plugindOf(t, "import")
	assert.Check(t, is.ErrorContains(err, "accepts between 1 and 2 arg(s)"))
}
