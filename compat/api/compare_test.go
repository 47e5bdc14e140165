// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// drawn is a set of packages in source, by import path.
type drawn map[string]string

// Import type-checks a package of the set, so that the packages can import each
// other.
func (d drawn) Import(path string) (*types.Package, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path+".go", d[path], parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	config := types.Config{Importer: d}
	return config.Check(path, files, []*ast.File{file}, nil)
}

// family type-checks packages by their names within the family. In their
// source, FAMILY stands for the family's import path.
func family(t *testing.T, prefix string, sources map[string]string) Family {
	t.Helper()
	f := Family{Prefix: prefix, Packages: map[string]*types.Package{}}
	world := drawn{"example.com/other": "package other\ntype T struct{}\ntype I interface{ M() }\ntype G[E any] []E\n"}
	for name, source := range sources {
		world[f.path(name)] = strings.ReplaceAll(source, "FAMILY", prefix)
	}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		p, err := world.Import(f.path(name))
		assert.NilError(t, err)
		f.Packages[name] = p
	}
	return f
}

// compare compares two packages, given only their declarations.
func compare(t *testing.T, old, new string) Report {
	t.Helper()
	const head = "package plugin\nimport \"example.com/other\"\nvar _ other.T\n"
	return Compare(
		family(t, "example.com/old/plugin", map[string]string{"plugin": head + old}),
		family(t, "example.com/new/plugin", map[string]string{"plugin": head + new}),
	)
}

func said(r Report) []string {
	var lines []string
	for _, finding := range r.Findings {
		lines = append(lines, strings.Join(strings.Fields(finding.String()), " "))
	}
	return lines
}

func TestSame(t *testing.T) {
	tests := []struct{ name, old, new string }{
		{"parameter names", "func F(a int, b ...string) (n int, err error)", "func F(int, ...string) (int, error) { return 0, nil }"},
		{"spelling of types", "var V map[string]any; func F([]byte)", "var V map[string]interface{}; func F([]uint8)"},
		{"constant", "const C = 1 << 3", "const C = 8"},
		{"function type", "type T func(p *T) error", "type T func(*T) error"},
		{"order of declarations", "type A int; type B int", "type B int; type A int"},
		{"order of an interface's methods", "type I interface{ A(); B() }", "type I interface{ B(); A() }"},
		{"embedded interface", "type I interface{ other.I; A() }", "type I interface{ A(); M() }"},
		{"unexported methods", "type I interface{ a(int) }", "type I interface{ b(); c() }"},
		{"unexported fields", "type S struct{ a int; B int `x:\"y\"` }", "type S struct{ B int `x:\"y\"`; c string }"},
		{"unexported identifiers", "type a int; func b() {}", ""},
		{"unexported type", "type hook func(string); type S struct{ H hook }", "type callback func(name string); type S struct{ H callback }"},
		{"unexported type of itself", "type node struct{ Next *node }; func F() *node { return nil }", "type link struct{ Next *link }; func F() *link { return nil }"},
		{"unexported type with methods", "type a int; func (a) M(int) {}; var V a", "type b int; func (b) M(n int) {}; var V b"},
		{"promoted method", "type a struct{}; func (a) M() {}; type S struct{ a }", "type S struct{}; func (S) M() {}"},
		{"promoted method of the pointer", "type A struct{}; func (*A) M() {}; type S struct{ A }", "type A struct{}; func (*A) M() {}; type S struct{ A }"},
		{"method that needs no pointer any more", "type S struct{}; func (*S) M() {}", "type S struct{}; func (S) M() {}"},
		{"comparable at last", "type S struct{ a []int }", "type S struct{ a int }"},
		{"alias", "type A = other.T", "type A = other.T"},
		{"alias on the way", "func F(other.T)", "type t = other.T; func F(t) {}"},
		{"generic type", "var V other.G[int]; type G[E comparable] map[E]E", "var V other.G[int]; type G[E comparable] map[E]E"},
		{"channels", "var V chan (<-chan int); var W <-chan chan int", "var V chan (<-chan int); var W <-chan chan int"},
		{"array", "var V [3]*int", "var V [1+2]*int"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			report := compare(t, tt.old, tt.new)
			assert.Equal(t, len(report.Findings), 0, "%s", report)
			assert.Check(t, report.Same > 0)
		})
	}
}

func TestFindings(t *testing.T) {
	tests := []struct {
		name, old, new string
		want           []string
	}{
		{"missing function", "func F(int) error", "", []string{"missing plugin.F: func(int) error"}},
		{"missing type", "type T struct{ A int; b int }", "", []string{"missing plugin.T: type struct{A int; unexported fields}"}},
		{"missing constant", "const C = 1", "", []string{"missing plugin.C: const untyped int = 1"}},
		{"unexported now", "var V int", "var v int", []string{"missing plugin.V: var int"}},
		{"missing field", "type S struct{ A, B int }", "type S struct{ A int }", []string{"missing plugin.S.B: int"}},
		{"missing method", "type S struct{}; func (*S) M() {}", "type S struct{}", []string{"missing plugin.S.M: method of the pointer: func()"}},
		{"missing promoted method", "type a struct{}; func (a) M() {}; type S struct{ a }", "type S struct{}", []string{"missing plugin.S.M: method of the value: func()"}},

		{"other parameter", "func F(int)", "func F(string)", []string{"different plugin.F: func(int) became func(string)"}},
		{"other result", "func F() error", "func F()", []string{"different plugin.F: func() error became func()"}},
		{"one result more", "func F() int", "func F() (int, error)", []string{"different plugin.F: func() int became func() (int, error)"}},
		{"variadic no more", "func F(...int)", "func F([]int)", []string{"different plugin.F: func(...int) became func([]int)"}},
		{"other value", "const C = 1", "const C = 2", []string{"different plugin.C: const untyped int = 1 became const untyped int = 2"}},
		{"typed constant", "const C = 1", "const C int = 1", []string{"different plugin.C: const untyped int = 1 became const int = 1"}},
		{"constant no more", "const C = 1", "var C = 1", []string{"different plugin.C: const untyped int = 1 became var int"}},
		{"function no more", "func F() {}", "var F func()", []string{"different plugin.F: func() became var func()"}},
		{"other direction", "var V <-chan int", "var V chan int", []string{"different plugin.V: var <-chan (int) became var chan (int)"}},
		{"other length", "var V [2]int", "var V [3]int", []string{"different plugin.V: var [2]int became var [3]int"}},
		{"sending only", "var V chan int", "var V chan<- int", []string{"different plugin.V: var chan (int) became var chan<- (int)"}},
		{"other package's type", "var V other.T", "type T struct{}; var V T", []string{
			"added plugin.T: type struct{}", "different plugin.V: var example.com/other.T became var plugin.T"}},
		{"other type argument", "var V other.G[int]", "var V other.G[string]", []string{
			"different plugin.V: var example.com/other.G[int] became var example.com/other.G[string]"}},

		{"other field type", "type S struct{ A int }", "type S struct{ A int64 }", []string{"different plugin.S.A: int became int64"}},
		{"changed tag", "type S struct{ A int `json:\"a\"` }", "type S struct{ A int `json:\"b\"` }", []string{"different plugin.S.A: int `json:\"a\"` became int `json:\"b\"`"}},
		{"lost tag", "type S struct{ A int `json:\"a\"` }", "type S struct{ A int }", []string{"different plugin.S.A: int `json:\"a\"` became int"}},
		{"reordered fields", "type S struct{ A, B, C int }", "type S struct{ A, C, D, B int }", []string{
			"different plugin.S: fields in the order A, B, C became A, C, B", "added plugin.S.D: int"}},
		{"embedded no more", "type S struct{ other.T }", "type S struct{ T other.T }", []string{"different plugin.S.T: embedded example.com/other.T became example.com/other.T"}},
		{"comparable no more", "type S struct{ a int }", "type S struct{ a []int }", []string{"different plugin.S: comparable became incomparable"}},
		{"struct no more", "type S struct{ A int }", "type S map[string]int", []string{"different plugin.S: type struct{A int} became type map[string]int"}},
		{"alias now", "type S struct{}", "type s struct{}; type S = s", []string{"different plugin.S: type struct{} became alias of struct{}"}},
		{"other alias", "type A = other.T", "type A = other.I", []string{"different plugin.A: alias of example.com/other.T became alias of example.com/other.I"}},
		{"generic now", "type S struct{}", "type S[E any] struct{}", []string{"different plugin.S: struct became [E interface{}] struct"}},
		{"other constraint", "type N interface{ ~int | ~string }", "type N interface{ ~int }", []string{"different plugin.N: type interface{~int | ~string} became type interface{~int}"}},

		{"other method", "type S struct{}; func (S) M(int) {}", "type S struct{}; func (S) M() {}", []string{
			"different plugin.S.M: method of the value: func(int) became method of the value: func()"}},
		{"method needs a pointer now", "type S struct{}; func (S) M() {}", "type S struct{}; func (*S) M() {}", []string{
			"different plugin.S.M: method of the value: func() became method of the pointer: func()"}},
		{"interface grew", "type I interface{ A() }", "type I interface{ A(); B() }", []string{
			"different plugin.I: type interface{A()} became type interface{A(); B()}"}},
		{"interface is sealed now", "type I interface{ A() }", "type I interface{ A(); b() }", []string{
			"different plugin.I: type interface{A()} became type interface{A(); unexported methods}"}},
		{"interface is open now", "type I interface{ a() }", "type I interface{}", []string{
			"different plugin.I: type interface{unexported methods} became type interface{}"}},
		{"unexported type is another", "type hook func(string); type S struct{ H hook }", "type hook func(); type S struct{ H hook }", []string{
			"different plugin.S.H: func(string) became func()"}},
		{"unexported type lost a method", "type a int; func (a) M() {}; var V a", "type a int; var V a", []string{
			"different plugin.V: var int with M method of the value: func() became var int"}},
		{"unexported type is exported now", "type a int; var V a", "type A int; var V A", []string{
			"added plugin.A: type int", "different plugin.V: var int became var plugin.A"}},

		{"added", "", "type E struct{ Err error }; func (*E) Error() string { return \"\" }; const C = 1; func F() {}", []string{
			"added plugin.C: const untyped int = 1", "added plugin.E: type struct{Err error}", "added plugin.F: func()"}},
		{"added members", "type S struct{ A int }", "type S struct{ A, B int }; func (S) M() {}", []string{
			"added plugin.S.B: int", "added plugin.S.M: method of the value: func()"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			report := compare(t, tt.old, tt.new)
			assert.DeepEqual(t, said(report), tt.want)
			for _, finding := range report.Breaks() {
				assert.Check(t, finding.Kind != Added)
			}
		})
	}
}

func TestFamilies(t *testing.T) {
	const v2 = "package v2\ntype Plugin struct{}\n"
	const top = "package plugin\nimport \"FAMILY/v2\"\nfunc Get() *v2.Plugin { return nil }\n"
	tests := []struct {
		name     string
		old, new map[string]string
		want     []string
	}{
		{"same", map[string]string{"plugin": top, "plugin/v2": v2}, map[string]string{"plugin": top, "plugin/v2": v2}, nil},
		{"missing package", map[string]string{"plugin/v2": v2}, map[string]string{"plugin": "package plugin"}, []string{"missing plugin/v2: package v2"}},
		{"added package", map[string]string{"plugin/v2": v2}, map[string]string{"plugin/v2": v2, "plugin/v3": v2}, nil},
		{"other package name", map[string]string{"plugin/v2": v2}, map[string]string{"plugin/v2": "package two\ntype Plugin struct{}\n"}, []string{
			"different plugin/v2: package v2 became package two"}},
		{"type moved", map[string]string{"plugin": top, "plugin/v2": v2}, map[string]string{
			"plugin": "package plugin\nimport \"FAMILY/v3\"\nfunc Get() *v3.Plugin { return nil }\n", "plugin/v2": v2, "plugin/v3": "package v3\ntype Plugin struct{}\n",
		}, []string{"different plugin.Get: func() *plugin/v2.Plugin became func() *plugin/v3.Plugin"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			report := Compare(family(t, "example.com/old/plugin", tt.old), family(t, "example.com/plugin", tt.new))
			assert.DeepEqual(t, said(report), tt.want)
		})
	}
}

func TestFamilyNames(t *testing.T) {
	f := Family{Prefix: "example.com/old/plugin"}
	for path, want := range map[string]string{
		"example.com/old/plugin":         "plugin",
		"example.com/old/plugin/v2":      "plugin/v2",
		"example.com/old/plugins":        "",
		"example.com/old":                "",
		"example.com/new/plugin":         "",
		"x/example.com/old/plugin":       "",
		"example.com/old/plugin/a/b":     "plugin/a/b",
		"example.com/old/plugin-helpers": "",
	} {
		name, ok := f.name(path)
		assert.Equal(t, name, want, path)
		assert.Equal(t, ok, want != "", path)
		if ok {
			assert.Equal(t, f.path(name), path)
		}
	}
}

func TestReportCounts(t *testing.T) {
	report := compare(t, "type S struct{ A, B int }; func (S) M() {}; var V, W int", "type S struct{ A, C int }; func (S) M() {}; var V string")
	// The package's name, S, S.A and S.M.
	assert.Equal(t, report.Same, 4)
	assert.DeepEqual(t, said(Report{Findings: report.Breaks()}), []string{
		"missing plugin.S.B: int", "different plugin.V: var int became var string", "missing plugin.W: var int"})
	assert.Equal(t, report.String(), strings.Join([]string{
		"missing    plugin.S.B: int",
		"added      plugin.S.C: int",
		"different  plugin.V: var int became var string",
		"missing    plugin.W: var int",
		fmt.Sprintf("%-10s %d", "same", report.Same), ""}, "\n"))
}
