// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// buildCommand runs plugind build, and returns what it wrote.
func buildCommand(t *testing.T, args ...string) (out, problems string, err error) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	command := newCommand()
	var written, warned bytes.Buffer
	command.SetArgs(append([]string{"build"}, args...))
	command.SetOut(&written)
	command.SetErr(&warned)
	err = command.ExecuteContext(t.Context())
	left, readErr := os.ReadDir(os.Getenv("TMPDIR"))
	assert.NilError(t, readErr)
	assert.Equal(t, len(left), 0, "files are left")
	return written.String(), warned.String(), err
}

// pluginSource writes a directory with a config and a rootfs.
func pluginSource(t *testing.T, entrypoint string) string {
	t.Helper()
	source := t.TempDir()
	assert.NilError(t, os.Mkdir(filepath.Join(source, "rootfs"), 0o755))
	assert.NilError(t, os.WriteFile(filepath.Join(source, "rootfs", "plugin"), nil, 0o755))
	config := `{"entrypoint":["` + entrypoint + `"],"interface":{"types":["docker.volumedriver/1.0"],"socket":"plugin.sock"},"network":{"type":"none"}}`
	assert.NilError(t, os.WriteFile(filepath.Join(source, "config.json"), []byte(config), 0o600))
	return source
}

// Two builds of two directories give one file, if the environment has a date.
func TestBuildOutput(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	one, other := filepath.Join(t.TempDir(), "plugin.tar"), filepath.Join(t.TempDir(), "plugin.tar")
	out, problems, err := buildCommand(t, "--output", one, pluginSource(t, "/plugin"))
	assert.NilError(t, err)
	assert.Equal(t, problems, "")
	assert.Check(t, strings.HasPrefix(out, "sha256:"))
	same, _, err := buildCommand(t, "-o", other, pluginSource(t, "/plugin"))
	assert.NilError(t, err)
	assert.Equal(t, same, out)
	first, err := os.ReadFile(one)
	assert.NilError(t, err)
	second, err := os.ReadFile(other)
	assert.NilError(t, err)
	assert.Check(t, bytes.Equal(first, second))
}

func TestBuildWarns(t *testing.T) {
	_, problems, err := buildCommand(t, "-o", filepath.Join(t.TempDir(), "plugin.tar"), pluginSource(t, "/other"))
	assert.NilError(t, err)
	assert.Check(t, strings.Contains(problems, `entrypoint "/other" is not in the rootfs`), problems)
}

// A build that fails leaves no file, and the output as it was.
func TestBuildErrors(t *testing.T) {
	output := filepath.Join(t.TempDir(), "plugin.tar")
	assert.NilError(t, os.WriteFile(output, []byte("before"), 0o600))
	source := pluginSource(t, "/plugin")
	for name, tt := range map[string]struct {
		args []string
		date string
		want string
	}{
		"no output":      {[]string{source}, "", "set --output FILE, --push NAME or --install NAME"},
		"no source":      {[]string{"-o", output}, "", "requires at least 1 arg"},
		"missing source": {[]string{"-o", output, "/gone", "go:"}, "", "it is empty"},
		"missing file":   {[]string{"-o", output, "/gone"}, "", "it does not exist"},
		"bad date":       {[]string{"-o", output, source}, "today", `SOURCE_DATE_EPOCH is "today"`},
		"no config":      {[]string{"-o", output, "--config", "/gone", source}, "", "--config: "},
		"no directory":   {[]string{"-o", filepath.Join(source, "gone", "x"), source}, "", "write "},
		"two the same":   {[]string{"-o", output, source, source}, "", "two sources are for this platform"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SOURCE_DATE_EPOCH", tt.date)
			_, _, err := buildCommand(t, tt.args...)
			assert.ErrorContains(t, err, tt.want)
			content, err := os.ReadFile(output)
			assert.NilError(t, err)
			assert.Equal(t, string(content), "before")
		})
	}
	left, err := os.ReadDir(filepath.Dir(output))
	assert.NilError(t, err)
	assert.Equal(t, len(left), 1)
}
