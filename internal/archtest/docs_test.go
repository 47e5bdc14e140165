// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

func TestPackagesHaveADoc(t *testing.T) { check(t, undocumentedPackages) }

func TestExportedIdentifiersHaveDocs(t *testing.T) { check(t, undocumentedIdentifiers) }

// undocumentedPackages lists packages without a package comment in the form that
// go doc expects.
func undocumentedPackages(sources []source) []string {
	problems := map[string]string{}
	for _, s := range house(sources) {
		name := strings.TrimSuffix(s.syntax.Name.Name, "_test")
		if _, seen := problems[s.room()]; !seen {
			problems[s.room()] = fmt.Sprintf("%s: package %s has no doc that begins with %q", s.room(), name, opening(name))
		}
		if strings.HasPrefix(s.syntax.Doc.Text(), opening(name)) {
			problems[s.room()] = ""
		}
	}
	found := slices.Sorted(maps.Values(problems))
	return slices.DeleteFunc(found, func(problem string) bool { return problem == "" })
}

func opening(name string) string {
	if name == "main" {
		return "Command "
	}
	return "Package " + name + " "
}

// undocumentedIdentifiers lists exported identifiers that have no doc comment on
// any platform.
func undocumentedIdentifiers(sources []source) []string {
	problems, documented := map[string]string{}, map[string]bool{}
	for _, s := range house(sources) {
		if s.isTest() {
			continue
		}
		for _, declaration := range s.syntax.Decls {
			for _, d := range declared(declaration) {
				key := s.room() + " " + d.name
				if d.documented {
					documented[key] = true
				} else {
					problems[key] = fmt.Sprintf("%s: %s has no doc", s.at(d.node), d.name)
				}
			}
		}
	}
	maps.DeleteFunc(problems, func(key, _ string) bool { return documented[key] })
	return slices.Sorted(maps.Values(problems))
}

// declaration is an exported identifier.
type declaration struct {
	name       string
	node       ast.Node
	documented bool
}

func declared(d ast.Decl) []declaration {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return declaredFunc(d)
	case *ast.GenDecl:
		var all []declaration
		for _, spec := range d.Specs {
			all = append(all, declaredSpec(spec, d.Doc != nil)...)
		}
		return all
	}
	return nil
}

func declaredFunc(d *ast.FuncDecl) []declaration {
	name := d.Name.Name
	if d.Recv != nil {
		receiver := receiverName(d.Recv.List[0].Type)
		if !ast.IsExported(receiver) || speaksForItself(d) {
			return nil
		}
		name = receiver + "." + name
	}
	if !d.Name.IsExported() {
		return nil
	}
	return []declaration{{name, d, d.Doc != nil}}
}

func declaredSpec(spec ast.Spec, groupHasDoc bool) []declaration {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Name.IsExported() {
			return []declaration{{spec.Name.Name, spec, groupHasDoc || spec.Doc != nil}}
		}
	case *ast.ValueSpec:
		var all []declaration
		for _, name := range spec.Names {
			if name.IsExported() {
				all = append(all, declaration{name.Name, spec, groupHasDoc || spec.Doc != nil || spec.Comment != nil})
			}
		}
		return all
	}
	return nil
}

func receiverName(expression ast.Expr) string {
	switch e := expression.(type) {
	case *ast.StarExpr:
		return receiverName(e.X)
	case *ast.IndexExpr:
		return receiverName(e.X)
	case *ast.IndexListExpr:
		return receiverName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// speaksForItself reports whether a method needs no doc comment: because its name
// is well known from the standard library, or because it is an empty method that
// marks the class of an error.
func speaksForItself(d *ast.FuncDecl) bool {
	known := []string{"Error", "Unwrap", "Is", "As", "String", "Read", "Write", "Close", "Len", "Less", "Swap", "ServeHTTP"}
	isMarker := d.Body != nil && len(d.Body.List) == 0 && d.Type.Params.NumFields() == 0 && d.Type.Results.NumFields() == 0
	return isMarker || slices.Contains(known, d.Name.Name)
}

func TestUndocumentedPackagesFinds(t *testing.T) {
	found := undocumentedPackages(drawing{
		"doc.go":          "// Package plugin does.\npackage plugin",
		"other.go":        "package plugin",
		"a/a.go":          "package a",
		"b/b.go":          "// A comment.\npackage b",
		"c/c_test.go":     "// Package c only tests.\npackage c_test",
		"cmd/d/d.go":      "// Command d does.\npackage main",
		"cmd/e/e.go":      "// Package e does.\npackage main",
		"f/testdata/f.go": "package f",
		"g/a.go":          "/*\nPackage g does.\n*/\npackage g",
		"h/h.go":          "// Package h does.\n\npackage h",
	}.sources(t))
	assert.DeepEqual(t, found, []string{
		`a: package a has no doc that begins with "Package a "`,
		`b: package b has no doc that begins with "Package b "`,
		`cmd/e: package main has no doc that begins with "Command "`,
		`h: package h has no doc that begins with "Package h "`,
	})
}

func TestUndocumentedIdentifiersFinds(t *testing.T) {
	const code = `package a

type T struct{}

// U is.
type U[P any] struct{}

func F() {}

// G does.
func G() {}

func h() {}

func (T) M() int { return 1 }

func (*U[P]) N(int) {}

func (T) Conflict() {}

func (T) Error() string { return "" }

type hidden struct{}

func (hidden) Shown(int) {}

const A = 1

// Two numbers.
const (
	B = 2
	C = 3
)

var (
	D = 4 // D is.
	E, e = 5, 6
)
`
	found := undocumentedIdentifiers(drawing{
		"a/a.go":            code,
		"a/a_test.go":       "package a\nfunc Shown() {}",
		"b/b_linux.go":      "package b\n// F does.\nfunc F() {}",
		"b/b_other.go":      "package b\nfunc F() {}",
		"c/testdata/c/c.go": "package c\nfunc F() {}",
	}.sources(t))
	assert.DeepEqual(t, found, []string{
		"a/a.go:15: T.M has no doc",
		"a/a.go:17: U.N has no doc",
		"a/a.go:27: A has no doc",
		"a/a.go:37: E has no doc",
		"a/a.go:3: T has no doc",
		"a/a.go:8: F has no doc",
	})
}
