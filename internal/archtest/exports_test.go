// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// Each exported name below internal/ has a user that is not a test. The compiler and
// the linter count exported names as used.
func TestExportsAreUsed(t *testing.T) {
	check(t, deadExports)
}

// forTests are the rooms that only tests import.
var forTests = []string{
	"executor/internal/attend/attendtest",
	"internal/bounded/boundedtest", "internal/imagefile/imagefiletest", "internal/memnet", "internal/plaintext/plaintexttest",
	"internal/testenv", "internal/testseed", "internal/testworld",
}

// byReflection are methods that the standard library, errdefs and loggers find by an
// interface that the room does not name.
var byReflection = []string{
	"Close", "Conflict", "DataLoss", "Error", "Forbidden", "Format", "InvalidParameter", "MarshalJSON", "NotFound", "NotImplemented",
	"Read", "RoundTrip", "Seek", "String", "System", "Unauthorized", "Unavailable", "UnmarshalJSON", "Unwrap", "Write",
}

// deadExports reports exported names of internal rooms that only their declaration
// and tests mention. For a field, a mention in a composite literal counts as little
// as its declaration does. Names are compared without types, so a name that two
// things share hides both.
func deadExports(sources []source) []string {
	all := mentions{}
	for _, s := range sources {
		if !s.isTest() && !slices.Contains(forTests, s.room()) {
			all.add(s.syntax)
		}
	}
	var problems []string
	for _, s := range house(sources) {
		if s.isTest() || !strings.Contains(s.path, "internal/") || slices.Contains(forTests, s.room()) {
			continue
		}
		names, fields := exports(s.syntax)
		for _, name := range slices.Concat(names, fields) {
			uses := all[name.Name].reads
			if !slices.Contains(fields, name) {
				uses += all[name.Name].keys
			}
			if uses == 0 && !slices.Contains(byReflection, name.Name) {
				problems = append(problems, s.at(name)+": "+path.Base(s.room())+"."+name.Name+" is used by tests at most")
			}
		}
	}
	return problems
}

// mentions counts identifiers by name, without declarations.
type mentions map[string]struct{ reads, keys int }

func (m mentions) add(file *ast.File) {
	names, fields := exports(file)
	keys := map[ast.Node]bool{}
	ast.Inspect(file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.KeyValueExpr:
			keys[node.Key] = true
		case *ast.Ident:
			count := m[node.Name]
			switch {
			case slices.Contains(names, node), slices.Contains(fields, node):
			case keys[node]:
				count.keys++
			default:
				count.reads++
			}
			m[node.Name] = count
		}
		return true
	})
}

// exports returns the exported names that a file declares. The fields that JSON reads
// are left out.
func exports(file *ast.File) (names, fields []*ast.Ident) {
	for _, declaration := range file.Decls {
		switch declaration := declaration.(type) {
		case *ast.FuncDecl:
			names = append(names, declaration.Name)
		case *ast.GenDecl:
			for _, spec := range declaration.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					names = append(names, spec.Names...)
				case *ast.TypeSpec:
					names = append(names, spec.Name)
					fields = append(fields, untagged(spec.Type)...)
				}
			}
		}
	}
	unexported := func(name *ast.Ident) bool { return !name.IsExported() }
	return slices.DeleteFunc(names, unexported), slices.DeleteFunc(fields, unexported)
}

func untagged(syntax ast.Expr) []*ast.Ident {
	structure, ok := syntax.(*ast.StructType)
	if !ok {
		return nil
	}
	var names []*ast.Ident
	for _, field := range structure.Fields.List {
		if field.Tag == nil {
			names = append(names, field.Names...)
		}
	}
	return names
}

func TestDeadExportsFinds(t *testing.T) {
	found := deadExports(drawing{
		"go.mod": "module example",
		"internal/a/a.go": `package a
			type Used struct{ Read, Written int; Tagged int ` + "`json:\"t\"`" + ` }
			type Alone struct{}
			func (Used) Close() {}
			func (Used) Called() {}
			func (Used) Tested() {}
			const Constant = 1
			var _ = Used{Written: 1}`,
		"internal/a/a_test.go":     `package a; var _ = Used{}.Tested; var _ Alone; var _ = Constant`,
		"b.go":                     `package b; var x a.Used; var _ = x.Read; var _ = x.Called`,
		"internal/memnet/m.go":     `package memnet; func Listen() {}`,
		"executor/internal/c/c.go": `package c; func Nowhere() {}`,
	}.sources(t))
	assert.DeepEqual(t, found, []string{
		"executor/internal/c/c.go:1: c.Nowhere is used by tests at most",
		"internal/a/a.go:3: a.Alone is used by tests at most",
		"internal/a/a.go:6: a.Tested is used by tests at most",
		"internal/a/a.go:7: a.Constant is used by tests at most",
		"internal/a/a.go:2: a.Written is used by tests at most",
	})
}
