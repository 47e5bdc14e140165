// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// needNoPlainText lists the rooms with errors that no user sees.
var needNoPlainText = []string{"test/...", "internal/plaintext"}

func TestErrorTypesAreHeldToPlainText(t *testing.T) { check(t, unheldErrors) }

func TestVerbsAnswerPlainText(t *testing.T) { check(t, unplainVerbs) }

// unheldErrors lists error types that no test of their room passes to
// plaintexttest, which fills them with hostile text.
func unheldErrors(sources []source) []string {
	held := map[string]bool{}
	for _, s := range house(sources) {
		if s.isTest() {
			for _, name := range heldErrors(s) {
				held[s.room()+" "+name] = true
			}
		}
	}
	var problems []string
	for _, s := range house(sources) {
		if s.isTest() || matches(needNoPlainText, s.room()) || neverOnLinux(s) {
			continue
		}
		for _, declaration := range s.syntax.Decls {
			method, ok := declaration.(*ast.FuncDecl)
			if !ok || method.Recv == nil || method.Name.Name != "Error" || method.Type.Params.NumFields() > 0 {
				continue
			}
			if name := receiverName(method.Recv.List[0].Type); !held[s.room()+" "+name] {
				problems = append(problems, fmt.Sprintf("%s: no test gives %s to plaintexttest", s.at(method), name))
			}
		}
	}
	return problems
}

// heldErrors returns the types in a file's calls of plaintexttest.
func heldErrors(s source) (names []string) {
	ast.Inspect(s.syntax, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || !isSelector(call.Fun, "plaintexttest", "Check", "CheckLines") {
			return true
		}
		ast.Inspect(call, func(node ast.Node) bool {
			if literal, ok := node.(*ast.CompositeLit); ok {
				names = append(names, receiverName(literal.Type))
			}
			return true
		})
		return false
	})
	return names
}

func isSelector(expression ast.Expr, of string, names ...string) bool {
	selector, ok := expression.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	name, ok := selector.X.(*ast.Ident)
	return ok && name.Name == of && slices.Contains(names, selector.Sel.Name)
}

// neverOnLinux reports whether a file is excluded on Linux, where the tests run.
func neverOnLinux(s source) bool {
	for _, group := range s.syntax.Comments {
		for _, comment := range group.List {
			if comment.Pos() < s.syntax.Package && strings.HasPrefix(comment.Text, "//go:build !linux") {
				return true
			}
		}
	}
	return false
}

// unplainVerbs lists exported methods of Manager that return errors without
// making them plain. Their errors can come from other packages.
func unplainVerbs(sources []source) []string {
	var problems []string
	for _, s := range house(sources) {
		if s.isTest() || s.room() != "." || neverOnLinux(s) {
			continue
		}
		for _, declaration := range s.syntax.Decls {
			method, ok := declaration.(*ast.FuncDecl)
			if ok && isVerb(method) && !defersPlain(method.Body) {
				problems = append(problems, fmt.Sprintf("%s: %s does not defer plain(&err)", s.at(method), method.Name.Name))
			}
		}
	}
	return problems
}

func isVerb(d *ast.FuncDecl) bool {
	if d.Recv == nil || !d.Name.IsExported() || d.Type.Results.NumFields() == 0 || receiverName(d.Recv.List[0].Type) != "Manager" {
		return false
	}
	results := d.Type.Results.List
	last, ok := results[len(results)-1].Type.(*ast.Ident)
	return ok && last.Name == "error"
}

func defersPlain(body *ast.BlockStmt) bool {
	if len(body.List) == 0 {
		return false
	}
	deferred, ok := body.List[0].(*ast.DeferStmt)
	if !ok {
		return false
	}
	name, ok := deferred.Call.Fun.(*ast.Ident)
	return ok && name.Name == "plain"
}

func TestUnheldErrorsFinds(t *testing.T) {
	found := unheldErrors(drawing{
		"a/a.go":          "package a\ntype T struct{}\nfunc (e *T) Error() string { return \"\" }\ntype U struct{}\nfunc (U) Error() string { return \"\" }",
		"a/a_test.go":     "package a\nfunc f() { plaintexttest.Check(t, &T{}) }",
		"b/b.go":          "package b\ntype T struct{}\nfunc (T) Error() string { return \"\" }\nfunc (T) String() string { return \"\" }",
		"b/b_test.go":     "package b\nfunc f() { other.Check(t, &T{}); plaintexttest.CheckLines(t, 1, &U{}) }",
		"c/c.go":          "//go:build !linux\n\npackage c\ntype T struct{}\nfunc (T) Error() string { return \"\" }",
		"test/x/a.go":     "package a\ntype T struct{}\nfunc (T) Error() string { return \"\" }",
		"d/d_test.go":     "package d\ntype T struct{}\nfunc (T) Error() string { return \"\" }",
		"e/e.go":          "package e\ntype L struct{}\nfunc (L) Error() string { return \"\" }",
		"e/e_test.go":     "package e\nfunc f() { plaintexttest.CheckLines(t, 1, &L{A: 1}) }",
		"f/testdata/a.go": "package a\ntype T struct{}\nfunc (T) Error() string { return \"\" }",
	}.sources(t))
	assert.DeepEqual(t, found, []string{
		"a/a.go:5: no test gives U to plaintexttest",
		"b/b.go:3: no test gives T to plaintexttest",
	})
}

func TestUnplainVerbsFinds(t *testing.T) {
	found := unplainVerbs(drawing{
		"a.go":       "package plugin\nfunc (pm *Manager) A() error { return nil }\nfunc (pm *Manager) B() (n int, err error) {\n\tdefer plain(&err)\n\treturn\n}",
		"b.go":       "package plugin\nfunc (pm *Manager) c() error { return nil }\nfunc (pm *Manager) D() {}\nfunc (pm *Manager) E() (error, int) { return nil, 0 }",
		"c.go":       "package plugin\nfunc (s *Store) F() error { return nil }\nfunc G() error { return nil }\nfunc (pm *Manager) H() error {\n\tdefer other()\n\treturn nil\n}",
		"d.go":       "//go:build !linux\n\npackage plugin\nfunc (pm *Manager) I() error { return nil }",
		"a_test.go":  "package plugin\nfunc (pm *Manager) J() error { return nil }",
		"other/a.go": "package other\nfunc (pm *Manager) K() error { return nil }",
	}.sources(t))
	assert.DeepEqual(t, found, []string{
		"a.go:2: A does not defer plain(&err)",
		"c.go:4: H does not defer plain(&err)",
	})
}
