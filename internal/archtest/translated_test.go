// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// unseen are the exported errors below internal/ that no verb returns, and why.
var unseen = map[string]string{
	"blobs.InUseError":     "sweeps skip what is in use",
	"build.ConfigError":    "plugind build returns it, and no verb builds",
	"build.GoError":        "plugind build returns it, and no verb builds",
	"build.SourceError":    "plugind build returns it, and no verb builds",
	"layout.LeftoverError": "the verb has succeeded; the leftover is logged",
	"remote.RequestError":  "it is a part of others",
	"skeleton.Error":       "plugind init returns it",
	"watch.Error":          "plugind dev returns it",
}

func TestVerbsReturnErrorsWithPublicNames(t *testing.T) { check(t, untranslated) }

// untranslated finds exported error types below internal/ that translate.go
// gives no public name, and entries of unseen that are out of date.
func untranslated(sources []source) []string {
	problems, translated := map[string]string{}, map[string]bool{}
	for _, s := range house(sources) {
		if s.path == "translate.go" {
			maps.Copy(translated, pointedTo(s))
		}
		if s.isTest() || !strings.HasPrefix(s.room(), "internal/") {
			continue
		}
		for _, declaration := range s.syntax.Decls {
			method, ok := declaration.(*ast.FuncDecl)
			if !ok || method.Recv == nil || method.Name.Name != "Error" || method.Type.Params.NumFields() > 0 {
				continue
			}
			if receiver := receiverName(method.Recv.List[0].Type); ast.IsExported(receiver) {
				name := path.Base(s.room()) + "." + receiver
				problems[name] = fmt.Sprintf("%s: translate.go gives %s no public name", s.at(method), name)
			}
		}
	}
	for name := range unseen {
		if problems[name] == "" || translated[name] {
			problems[name+" "] = name + " is in the table unseen, and is translated or does not exist"
		}
		delete(problems, name)
	}
	maps.DeleteFunc(problems, func(name, _ string) bool { return translated[name] })
	return slices.Sorted(maps.Values(problems))
}

// pointedTo returns the names of types of other packages, as in *remote.RequestError.
func pointedTo(s source) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(s.syntax, func(node ast.Node) bool {
		star, ok := node.(*ast.StarExpr)
		if !ok {
			return true
		}
		if selector, ok := star.X.(*ast.SelectorExpr); ok {
			if of, ok := selector.X.(*ast.Ident); ok {
				names[of.Name+"."+selector.Sel.Name] = true
			}
		}
		return true
	})
	return names
}

func TestUntranslatedFinds(t *testing.T) {
	const errorType = "type %[1]s struct{}\nfunc (e *%[1]s) Error() string { return \"\" }\n"
	file := func(room string, types ...string) string {
		text := "package " + room + "\n"
		for _, name := range types {
			text += fmt.Sprintf(errorType, name)
		}
		return text
	}
	found := untranslated(drawing{
		"translate.go":             "package plugin\nvar rows = []any{func(e *a.TError) {}, func(e *layout.LeftoverError) {}}",
		"other.go":                 "package plugin\nvar x *a.UError",
		"internal/a/a.go":          file("a", "TError", "UError", "hiddenError"),
		"internal/a/a_test.go":     file("a", "OfTestsError"),
		"internal/blobs/b.go":      file("blobs", "InUseError"),
		"internal/build/b.go":      file("build", "ConfigError", "GoError", "SourceError"),
		"internal/layout/b.go":     file("layout", "LeftoverError"),
		"internal/skeleton/b.go":   file("skeleton", "Error"),
		"internal/watch/b.go":      file("watch", "Error"),
		"v2/v.go":                  file("v2", "PublicError"),
		"internal/a/testdata/b.go": file("a", "FixtureError"),
	}.sources(t))
	assert.DeepEqual(t, found, []string{
		"internal/a/a.go:5: translate.go gives a.UError no public name",
		"layout.LeftoverError is in the table unseen, and is translated or does not exist",
		"remote.RequestError is in the table unseen, and is translated or does not exist",
	})
}
