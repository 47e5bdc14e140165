// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"gotest.tools/v3/assert"
)

// forbidden are functions that only tests may use, by package path.
var forbidden = map[string][]string{
	"time":    {"Sleep"}, // wait for an event, a context or a timer
	"context": {"TODO"},
}

var toDo = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

func TestForbiddenFunctions(t *testing.T) { check(t, forbiddenFunctions) }

func TestNothingIsLeftToDo(t *testing.T) { check(t, leftToDo) }

// forbiddenFunctions lists calls and other uses of forbidden functions outside
// tests.
func forbiddenFunctions(sources []source) []string {
	var problems []string
	for _, s := range house(sources) {
		if s.isTest() {
			continue
		}
		packages := packagesByName(s)
		ast.Inspect(s.syntax, func(node ast.Node) bool {
			selector, isSelector := node.(*ast.SelectorExpr)
			if !isSelector {
				return true
			}
			if name, isName := selector.X.(*ast.Ident); isName {
				imported := packages[name.Name]
				if slices.Contains(forbidden[imported], selector.Sel.Name) {
					problems = append(problems, fmt.Sprintf("%s: %s.%s", s.at(selector), imported, selector.Sel.Name))
				}
			}
			return true
		})
	}
	return problems
}

// packagesByName maps the names of a file's imports to their paths. An unnamed
// import gets the last element of its path, which is right for the forbidden
// packages.
func packagesByName(s source) map[string]string {
	packages := map[string]string{}
	for _, spec := range s.syntax.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value) // valid, because the parser has accepted it
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		packages[name] = imported
	}
	return packages
}

// leftToDo lists comments outside tests that postpone work.
func leftToDo(sources []source) []string {
	var problems []string
	for _, s := range house(sources) {
		if s.isTest() {
			continue
		}
		for _, group := range s.syntax.Comments {
			for _, comment := range group.List {
				if word := toDo.FindString(comment.Text); word != "" {
					problems = append(problems, fmt.Sprintf("%s: comment says %s", s.at(comment), word))
				}
			}
		}
	}
	return problems
}

// Tests are skipped by internal/testenv only, which lists them.
func TestSkipsAreListed(t *testing.T) { check(t, unlistedSkips) }

// unlistedSkips lists calls of Skip, Skipf and SkipNow of tests and benchmarks, in
// all modules.
func unlistedSkips(sources []source) []string {
	var problems []string
	for _, s := range sources {
		if s.room() == "internal/testenv" {
			continue
		}
		ast.Inspect(s.syntax, func(node ast.Node) bool {
			selector, isSelector := node.(*ast.SelectorExpr)
			if !isSelector {
				return true
			}
			name, isName := selector.X.(*ast.Ident)
			if isName && slices.Contains([]string{"t", "b", "f", "tb"}, name.Name) && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, selector.Sel.Name) {
				problems = append(problems, s.at(selector)+": skip by internal/testenv")
			}
			return true
		})
	}
	return problems
}

func TestUnlistedSkipsFinds(t *testing.T) {
	found := unlistedSkips(drawing{
		"a_test.go": `package a
			func TestA(t *testing.T) { t.Skip() }
			func BenchmarkA(b *testing.B) { b.Skipf("") }
			func TestB(t *testing.T) { testenv.Skip(t, "") }`,
		"internal/testenv/testenv.go": `package testenv; func f(t testing.TB) { t.SkipNow() }`,
		"nested/go.mod":               "module nested",
		"nested/a_test.go":            `package a; func TestA(t *testing.T) { t.SkipNow() }`,
	}.sources(t))
	assert.DeepEqual(t, found, []string{
		"a_test.go:2: skip by internal/testenv", "a_test.go:3: skip by internal/testenv", "nested/a_test.go:1: skip by internal/testenv",
	})
}

func TestForbiddenFunctionsFinds(t *testing.T) {
	tests := []struct {
		name string
		file string
		code string
		want []string
	}{
		{"call", "a/a.go", "package a\nimport \"time\"\nfunc f() { time.Sleep(1) }", []string{"a/a.go:3: time.Sleep"}},
		{"value", "a/a.go", "package a\nimport \"time\"\nvar sleep = time.Sleep", []string{"a/a.go:3: time.Sleep"}},
		{"by another name", "a/a.go", "package a\nimport c \"context\"\nvar x = c.TODO()", []string{"a/a.go:3: context.TODO"}},
		{"another package", "a/a.go", "package a\nimport \"example.com/mytime\"\nvar x = mytime.Sleep", nil},
		{"a variable", "a/a.go", "package a\nfunc f(time interface{ Sleep() }) { time.Sleep() }", nil},
		{"another function", "a/a.go", "package a\nimport \"time\"\nvar x = time.Now()", nil},
		{"test", "a/a_test.go", "package a\nimport \"time\"\nvar x = time.Sleep", nil},
		{"nested module", "nested/a.go", "package a\nimport \"time\"\nvar x = time.Sleep", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sources := drawing{tt.file: tt.code, "nested/go.mod": "module nested"}.sources(t)
			assert.DeepEqual(t, forbiddenFunctions(sources), tt.want)
		})
	}
}

func TestLeftToDoFinds(t *testing.T) {
	tests := []struct {
		name string
		file string
		code string
		want []string
	}{
		{"line", "a/a.go", "package a\n\n// TODO: later", []string{"a/a.go:3: comment says TODO"}},
		{"with a name", "a/a.go", "package a // TODO(me)", []string{"a/a.go:1: comment says TODO"}},
		{"block", "a/a.go", "package a\n/* x\nFIXME */", []string{"a/a.go:2: comment says FIXME"}},
		{"part of a word", "a/a.go", "package a // TODOS, context.TODOX", nil},
		{"text", "a/a.go", "package a\nconst todo = \"TODO\"", nil},
		{"test", "a/a_test.go", "package a // TODO", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.DeepEqual(t, leftToDo(drawing{tt.file: tt.code}.sources(t)), tt.want)
		})
	}
}
