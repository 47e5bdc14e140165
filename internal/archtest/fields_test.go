// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"go/ast"
	"regexp"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// The fields of error types that users see are documented, each by a comment or by
// name in another field's.
func TestFieldsOfErrorsAreDocumented(t *testing.T) { check(t, undocumentedFields) }

func undocumentedFields(sources []source) []string {
	var problems []string
	for _, s := range house(sources) {
		if s.isTest() || strings.Contains(s.path, "internal/") {
			continue
		}
		ast.Inspect(s.syntax, func(node ast.Node) bool {
			spec, ok := node.(*ast.TypeSpec)
			if !ok || !spec.Name.IsExported() || !strings.HasSuffix(spec.Name.Name, "Error") {
				return true
			}
			if structure, ok := spec.Type.(*ast.StructType); ok {
				for _, name := range undocumentedIn(structure) {
					problems = append(problems, fmt.Sprintf("%s: field %s of %s is not documented", s.at(name), name.Name, spec.Name.Name))
				}
			}
			return true
		})
	}
	return problems
}

// undocumentedIn returns the exported fields of a structure that have no comment, and
// that no comment of another field names.
func undocumentedIn(structure *ast.StructType) (names []*ast.Ident) {
	var comments strings.Builder
	for _, field := range structure.Fields.List {
		comments.WriteString(field.Doc.Text() + field.Comment.Text())
	}
	for _, field := range structure.Fields.List {
		for _, name := range field.Names {
			mentioned := regexp.MustCompile(`\b` + name.Name + `\b`).MatchString(comments.String())
			if name.IsExported() && field.Doc == nil && field.Comment == nil && !mentioned {
				names = append(names, name)
			}
		}
	}
	return names
}

func TestUndocumentedFieldsFinds(t *testing.T) {
	const code = `package p

type AError struct {
	A int // of a
	// B is, and C.
	B int
	C int
	D, e int
}

type bError struct{ F int }

type C struct{ G int }
`
	found := undocumentedFields(drawing{"a.go": code, "internal/a/a.go": code, "a_test.go": code}.sources(t))
	assert.DeepEqual(t, found, []string{"a.go:8: field D of AError is not documented"})
}
