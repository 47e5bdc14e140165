// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gotest.tools/v3/assert"
)

const module = "github.com/dovetailhq/plugin"

// source is one parsed file.
type source struct {
	path    string // relative to the module's root, with slashes
	foreign bool   // the file is in a nested module or below a testdata directory
	fileset *token.FileSet
	syntax  *ast.File
}

// room is the directory of the file; the root is ".".
func (s source) room() string { return path.Dir(s.path) }

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// at returns the position of node for a problem.
func (s source) at(node ast.Node) string {
	position := s.fileset.Position(node.Pos())
	position.Filename = s.path
	position.Column = 0
	return position.String()
}

// parse parses src, or the file on disk if src is nil.
func parse(name string, filename string, src any) (source, error) {
	fileset := token.NewFileSet()
	syntax, err := parser.ParseFile(fileset, filename, src, parser.ParseComments|parser.SkipObjectResolution)
	return source{path: name, fileset: fileset, syntax: syntax}, err
}

// tree returns all Go files of the repository, parsed once for all tests.
var tree = sync.OnceValues(func() ([]source, error) { return load(filepath.Join("..", "..")) })

func load(root string) ([]source, error) {
	var sources []source
	nested := map[string]bool{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if entry.IsDir() {
			if relative != "." && strings.HasPrefix(entry.Name(), ".") {
				return fs.SkipDir
			}
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			nested[relative] = nested[path.Dir(relative)] || relative != "." && err == nil || entry.Name() == "testdata"
			return nil
		}
		if path.Ext(relative) != ".go" {
			return nil
		}
		file, err := parse(relative, name, nil)
		file.foreign = nested[path.Dir(relative)]
		sources = append(sources, file)
		return err
	})
	return sources, err
}

// house returns the files of the module itself.
func house(sources []source) []source {
	var own []source
	for _, s := range sources {
		if !s.foreign {
			own = append(own, s)
		}
	}
	return own
}

// check applies a rule to the tree and reports each problem it finds.
func check(t *testing.T, rule func([]source) []string) {
	t.Helper()
	sources, err := tree()
	assert.NilError(t, err)
	for _, problem := range rule(sources) {
		t.Error(problem)
	}
}

// drawing is a made-up tree for the tests of rules: file contents by name.
type drawing map[string]string

// sources writes the drawing to disk and parses it like the repository.
func (d drawing) sources(t testing.TB) []source {
	t.Helper()
	directory := t.TempDir()
	for name, content := range d {
		full := filepath.Join(directory, filepath.FromSlash(name))
		assert.NilError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		assert.NilError(t, os.WriteFile(full, []byte(content), 0o644))
	}
	sources, err := load(directory)
	assert.NilError(t, err)
	return sources
}

func TestLoad(t *testing.T) {
	sources := drawing{
		"go.mod":               "module example",
		"a.go":                 "package a",
		"b/b_test.go":          "package b",
		"b/testdata/c/c.go":    "package c",
		"nested/go.mod":        "module nested",
		"nested/deep/d.go":     "package d",
		".hidden/e.go":         "package e",
		"b/README.md":          "not Go",
		"b/testdata/broken.md": "not Go either",
	}.sources(t)
	got := map[string]bool{}
	for _, s := range sources {
		got[s.path] = s.foreign
	}
	assert.DeepEqual(t, got, map[string]bool{
		"a.go": false, "b/b_test.go": false, "b/testdata/c/c.go": true, "nested/deep/d.go": true,
	})
	assert.Equal(t, len(house(sources)), 2)
}

func TestLoadRefusesWhatIsNotGo(t *testing.T) {
	_, err := load(filepath.Dir(writeBroken(t)))
	assert.ErrorContains(t, err, "broken.go")
}

func writeBroken(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "broken.go")
	assert.NilError(t, os.WriteFile(name, []byte("package"), 0o644))
	return name
}

// tree finds the rooms of the module. Otherwise the other tests would check
// nothing and pass.
func TestTreeIsWhole(t *testing.T) {
	sources, err := tree()
	assert.NilError(t, err)
	seen := map[string]bool{}
	for _, s := range house(sources) {
		seen[s.room()] = true
	}
	for _, room := range []string{".", "v2", "engineapi", "internal/archtest", "internal/durable", "internal/lifecycle"} {
		assert.Check(t, seen[room], "%s was not seen", room)
	}
}
