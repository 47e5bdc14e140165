// SPDX-License-Identifier: Apache-2.0

package api

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
	"gotest.tools/v3/fs"
)

// module writes a module with an old and a new family of packages.
func module(t *testing.T) string {
	t.Helper()
	files := map[string]string{
		"go.mod":                  "module example.com/m\n\ngo 1.25\n",
		"old/plugin/plugin.go":    "package plugin\n\nfunc F() {}\n",
		"old/plugin/windows.go":   "//go:build windows\n\npackage plugin\n\nfunc OnWindows() {}\n",
		"old/plugin/v2/v2.go":     "package v2\n",
		"old/plugin/deep/er/a.go": "package er\n",
		"old/plugins/plugins.go":  "package plugins\n\nvar notOfTheFamily int = \"\"\n",
		"new/plugin/plugin.go":    "package plugin\n\nfunc F() {}\n",
		"new/plugin/v2/v2.go":     "package v2\n",
		"new/plugin/cmd/main.go":  "package main\n\nvar notAReplacement int = \"\"\n",
		"broken/plugin/plugin.go": "package plugin\n\nvar V int = \"\"\n",
	}
	dir := fs.NewDir(t, "module").Path()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		assert.NilError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		assert.NilError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	return dir
}

func TestLoad(t *testing.T) {
	loader := Loader{Dir: module(t)}
	old, err := loader.Load("example.com/m/old/plugin")
	assert.NilError(t, err)
	assert.DeepEqual(t, slices.Sorted(maps.Keys(old.Packages)), []string{"plugin", "plugin/deep/er", "plugin/v2"})

	replacement, err := loader.Replacement(old, "example.com/m/new/plugin")
	assert.NilError(t, err)
	assert.DeepEqual(t, slices.Sorted(maps.Keys(replacement.Packages)), []string{"plugin", "plugin/v2"})
	assert.DeepEqual(t, said(Compare(old, replacement)), []string{"missing plugin/deep/er: package er"})
}

func TestLoadForAnotherSystem(t *testing.T) {
	loader := Loader{Dir: module(t), GOOS: "windows"}
	old, err := loader.Load("example.com/m/old/plugin")
	assert.NilError(t, err)
	replacement, err := loader.Replacement(old, "example.com/m/new/plugin")
	assert.NilError(t, err)
	assert.DeepEqual(t, said(Compare(old, replacement)), []string{
		"missing plugin.OnWindows: func()", "missing plugin/deep/er: package er"})
}

func TestLoadRefuses(t *testing.T) {
	dir := module(t)
	tests := []struct {
		name   string
		loader Loader
		prefix string
		want   string
	}{
		{"type error", Loader{Dir: dir}, "example.com/m/broken/plugin", "load example.com/m/broken/plugin"},
		{"no such directory", Loader{Dir: filepath.Join(dir, "absent")}, "example.com/m/old/plugin", "no such file or directory"},
		{"no such modfile", Loader{Dir: dir, Modfile: "absent.mod"}, "example.com/m/old/plugin", "absent.mod"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.loader.Load(tt.prefix)
			assert.ErrorContains(t, err, tt.want)
			assert.Check(t, strings.HasPrefix(err.Error(), "load "), "%v", err)
		})
	}
}
