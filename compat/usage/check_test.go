// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gotest.tools/v3/assert"
)

// module writes the files of the module example.com/daemon. Its packages router
// and cluster use the package example.com/plugin directly, and cmd uses it
// through cluster.
func module(t *testing.T, more map[string]string) *Source {
	t.Helper()
	files := map[string]string{
		"router/router.go": `package router

import "example.com/plugin"

type Backend interface{ Enable(opts ...plugin.Option) error }

var _ Backend = (*plugin.Manager)(nil)
`,
		"cluster/cluster.go": `package cluster

import (
	"example.com/absent"
	"example.com/daemon/names"
	"example.com/plugin"
)

func Manager() *plugin.Manager {
	m := plugin.New(plugin.Config{Root: names.Root, Log: absent.Logger(1).Log})
	absent.Register(m)
	return m
}
`,
		"cluster/cluster_test.go": "package cluster\n\nvar enabled = Manager().Enable()\n",
		"cmd/main.go": `package main

import (
	"example.com/daemon/cluster"
	"example.com/daemon/router"
)

var backend router.Backend = cluster.Manager()

func main() { _ = backend.Enable() }
`,
		"names/names.go":           "package names\n\nconst Root = \"/plugins\"\n",
		"names/names_windows.go":   "package names\n\nvar wrong int = Root\n",
		"unrelated/unrelated.go":   "package unrelated\n\nvar wrong int = \"\"\n",
		"vendor/x/x.go":            "package x\n\nimport _ \"example.com/plugin\"\n",
		"testdata/y/y.go":          "package y\n\nimport _ \"example.com/plugin\"\n",
		"nested/go.mod":            "module example.com/nested\n",
		"nested/z.go":              "package z\n\nimport _ \"example.com/plugin\"\n",
		"docs/README.md":           "no Go here\n",
		"twins/one.go":             "package one\n",
		"twins/two.go":             "package two\n",
		"onlytests/only_test.go":   "package onlytests\n\nimport _ \"example.com/plugin\"\n",
		"windows/thing_windows.go": "package windows\n\nimport _ \"example.com/plugin\"\n",
	}
	dir := t.TempDir()
	for _, set := range []map[string]string{files, more} {
		for name, text := range set {
			at := filepath.Join(dir, filepath.FromSlash(name))
			assert.NilError(t, os.MkdirAll(filepath.Dir(at), 0o700))
			assert.NilError(t, os.WriteFile(at, []byte(text), 0o600))
		}
	}
	source, err := ReadSource("example.com/daemon", dir)
	assert.NilError(t, err)
	return source
}

const pluginSource = `package plugin

type Option func(*Manager)
type Manager struct{}
type Config struct { Root string; Log func(string) }
func New(Config) *Manager { return nil }
func (*Manager) Enable(...Option) error { return nil }
`

// replacement type-checks source as the replacement of example.com/plugin.
func replacement(t *testing.T, source string) map[string]*types.Package {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "plugin.go", source, parser.SkipObjectResolution)
	assert.NilError(t, err)
	config := types.Config{Importer: importer.Default()}
	p, err := config.Check("example.com/other", files, []*ast.File{file}, nil)
	assert.NilError(t, err)
	return map[string]*types.Package{"example.com/plugin": p}
}

var users = []string{"example.com/daemon/cluster", "example.com/daemon/cmd", "example.com/daemon/router"}

func TestUsers(t *testing.T) {
	direct, all := module(t, nil).Users("example.com/plugin")
	assert.DeepEqual(t, direct, []string{"example.com/daemon/cluster", "example.com/daemon/router"})
	assert.DeepEqual(t, all, users)

	direct, all = module(t, nil).Users("example.com/plug")
	assert.Equal(t, len(direct)+len(all), 0)
}

func TestUsersBelow(t *testing.T) {
	source := module(t, map[string]string{"v2/v2.go": "package v2\n\nimport _ \"example.com/plugin/v2\"\n"})
	direct, _ := source.Users("example.com/plugin")
	assert.Check(t, slices.Contains(direct, "example.com/daemon/v2"), "%v", direct)
}

func TestClosure(t *testing.T) {
	source := module(t, nil)
	assert.DeepEqual(t, source.Closure([]string{"example.com/daemon/cmd"}), []string{
		"example.com/daemon/cluster", "example.com/daemon/cmd", "example.com/daemon/names", "example.com/daemon/router"})
	assert.DeepEqual(t, source.Imports("example.com/daemon/cluster"), []string{"example.com/absent", "example.com/daemon/names", "example.com/plugin"})
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name        string
		replacement string
		want        map[string][]string
	}{
		{"same", pluginSource, map[string][]string{}},
		{"option of another type", pluginSource + "type Other func(*Manager)\nfunc (*Manager) M() {}\n", map[string][]string{}},
		{"missing method", `package plugin
type Option func(*Manager)
type Manager struct{}
type Config struct { Root string; Log func(string) }
func New(Config) *Manager { return nil }
`, map[string][]string{
			"example.com/daemon/cluster": {"cluster/cluster_test.go:3: Manager().Enable undefined (type *plugin.Manager has no field or method Enable)"},
			"example.com/daemon/cmd":     {"cmd/main.go:8: cannot use cluster.Manager() (value of type *plugin.Manager) as router.Backend value in variable declaration: *plugin.Manager does not implement router.Backend (missing method Enable)"},
			"example.com/daemon/router":  {"router/router.go:7: cannot use (*plugin.Manager)(nil) (value of type *plugin.Manager) as Backend value in variable declaration: *plugin.Manager does not implement Backend (missing method Enable)"},
		}},
		{"other field type", `package plugin
type Option func(*Manager)
type Manager struct{}
type Config struct { Root []string; Log func(string) }
func New(Config) *Manager { return nil }
func (*Manager) Enable(...Option) error { return nil }
`, map[string][]string{
			"example.com/daemon/cluster": {"cluster/cluster.go:10: cannot use names.Root (untyped string constant \"/plugins\") as []string value in struct literal"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			results := check(t, module(t, nil), users, nil, replacement(t, tt.replacement))
			problems := map[string][]string{}
			for user, result := range results {
				if len(result.Problems) > 0 {
					problems[user] = result.Problems
				}
			}
			assert.DeepEqual(t, problems, tt.want)
			assert.Check(t, results["example.com/daemon/cluster"].Uses > 0)
		})
	}
}

func TestCheckCountsUses(t *testing.T) {
	results := check(t, module(t, nil), users, nil, replacement(t, pluginSource))
	assert.Equal(t, results["example.com/daemon/router"].Uses, 2)  // Option, Manager
	assert.Equal(t, results["example.com/daemon/cluster"].Uses, 6) // Manager, New, Config, Root, Log, Enable
	assert.Equal(t, results["example.com/daemon/cmd"].Uses, 0)     // Enable is the router's own
}

func TestCheckTakesWhatIsGiven(t *testing.T) {
	absent := types.NewPackage("example.com/absent", "absent")
	absent.MarkComplete()
	given := map[string]*types.Package{"example.com/absent": absent}
	results := check(t, module(t, nil), users, given, replacement(t, pluginSource))
	assert.DeepEqual(t, results["example.com/daemon/cluster"].Problems, []string{
		"cluster/cluster.go:10: undefined: absent.Logger", "cluster/cluster.go:11: undefined: absent.Register"})
}

func TestCheckRefuses(t *testing.T) {
	source := module(t, map[string]string{"broken/broken.go": "package broken\n\nimport \"fmt\"\n\nfunc {\n"})
	_, err := Check(source, []string{"example.com/daemon/absent"}, nil, nil)
	assert.Error(t, err, "check example.com/daemon/absent: no such package in example.com/daemon")
	_, err = Check(source, []string{"example.com/daemon/broken"}, nil, nil)
	assert.ErrorContains(t, err, "parse example.com/daemon/broken: ")
}

func TestReadSourceRefuses(t *testing.T) {
	_, err := ReadSource("example.com/daemon", filepath.Join(t.TempDir(), "absent"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}
