// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"gotest.tools/v3/assert"
)

// passage is a piece of prose: a comment, a text in the code, the name of a test, a
// page.
type passage struct {
	path   string
	line   int // of its beginning
	text   string
	public bool // read by users, who do not read the code
}

func (p passage) lineOf(offset int) int { return p.line + strings.Count(p.text[:offset], "\n") }

// around returns the match with some words before and after it, on one line.
func (p passage) around(at []int) string {
	const margin = 30
	from, to := max(at[0]-margin, 0), min(at[1]+margin, len(p.text), at[0]+3*margin)
	return strings.Join(strings.Fields(strings.ToValidUTF8(p.text[from:to], "")), " ")
}

var word = regexp.MustCompile(`\pL+('\pL+)?`)

func wordCount(in []passage) (count int) {
	for _, p := range in {
		count += len(word.FindAllStringIndex(p.text, -1))
	}
	return count
}

func split(all []passage, condition func(passage) bool) (yes, no []passage) {
	for _, p := range all {
		if condition(p) {
			yes = append(yes, p)
		} else {
			no = append(no, p)
		}
	}
	return yes, no
}

// passages collects the prose of a tree, nested modules included, without test
// data, vendored and generated files.
func passages(tree fs.FS) ([]passage, error) {
	var all []passage
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := path.Base(name); name != "." && strings.HasPrefix(base, ".") || slices.Contains([]string{"testdata", "vendor"}, base) {
				return fs.SkipDir
			}
			return nil
		}
		content, err := fs.ReadFile(tree, name)
		switch {
		case err != nil:
			return err
		case path.Ext(name) == ".md":
			all = append(all, passage{name, 1, withoutCode(string(content)), true})
		case path.Ext(name) == ".go" && !generated.Match(content):
			all = append(all, passagesOfCode(name, content)...)
		}
		return nil
	})
	return all, err
}

var (
	generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
	fenced    = regexp.MustCompile("(?s)```.*?```")
	quoted    = regexp.MustCompile("`[^`\n]+`")
)

// withoutCode blanks the code of a markdown page, and keeps its lines.
func withoutCode(page string) string {
	page = fenced.ReplaceAllStringFunc(page, func(block string) string { return strings.Repeat("\n", strings.Count(block, "\n")) })
	return quoted.ReplaceAllString(page, "`code`")
}

// passagesOfCode returns the comments and texts of a file, and of a test the comments
// and the names of its functions. A file that does not parse has none: other code bases keep such files.
func passagesOfCode(name string, content []byte) (all []passage) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil
	}
	exported, isTest := exportedDocs(file), strings.HasSuffix(name, "_test.go")
	if isTest || strings.HasPrefix(name, "internal/") || strings.Contains(name, "/internal/") {
		exported = nil // its readers work on this module
	}
	for _, group := range file.Comments {
		all = append(all, passage{name, files.Position(group.Pos()).Line, prose(group), exported[group]})
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncDecl:
			if isTest {
				all = append(all, passage{name, files.Position(node.Name.Pos()).Line, sentence(node.Name.Name), false})
			}
			return !isTest
		case *ast.GenDecl:
			return !isTest
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			node.Tag = nil
		case *ast.BasicLit:
			text, err := strconv.Unquote(node.Value)
			if node.Kind == token.STRING && err == nil && strings.Contains(text, " ") {
				all = append(all, passage{name, files.Position(node.Pos()).Line, text, true})
			}
		}
		return true
	})
	slices.SortStableFunc(all, func(a, b passage) int { return a.line - b.line })
	return all
}

var capitalised = regexp.MustCompile(`\p{Lu}[\p{Ll}\d]+`)

// sentence returns the words of a name in lower case, except abbreviations.
func sentence(name string) string {
	words := strings.Fields(capitalised.ReplaceAllString(name, " $0 "))
	for i, word := range words {
		if len(word) == 1 || word != strings.ToUpper(word) {
			words[i] = strings.ToLower(word)
		}
	}
	return strings.Join(words, " ")
}

var directive = regexp.MustCompile(`^(//[a-z]+:|// SPDX-|//nolint)`)

// prose is the text of a comment, one line for each of its lines.
func prose(group *ast.CommentGroup) string {
	var lines []string
	for _, comment := range group.List {
		text := comment.Text
		switch {
		case directive.MatchString(text), strings.HasPrefix(text, "//\t"): // the latter is code
			text = ""
		case strings.HasPrefix(text, "//"):
			text = strings.TrimPrefix(text, "//")
		default:
			text = strings.TrimSuffix(strings.TrimPrefix(text, "/*"), "*/")
		}
		lines = append(lines, text)
	}
	return strings.Join(lines, "\n")
}

// exportedDocs returns the comments of a file that go doc shows.
func exportedDocs(file *ast.File) map[*ast.CommentGroup]bool {
	docs := map[*ast.CommentGroup]bool{file.Doc: true}
	for _, declaration := range file.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			docs[d.Doc] = d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiverName(d.Recv.List[0].Type)))
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				docs[d.Doc] = exportedSpec(spec, docs) || docs[d.Doc]
			}
		}
	}
	delete(docs, nil)
	return docs
}

// exportedSpec reports whether spec is exported, and adds its comments.
func exportedSpec(spec ast.Spec, docs map[*ast.CommentGroup]bool) bool {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if !spec.Name.IsExported() {
			return false
		}
		docs[spec.Doc] = true
		ast.Inspect(spec.Type, func(node ast.Node) bool {
			if field, ok := node.(*ast.Field); ok && (len(field.Names) == 0 || field.Names[0].IsExported()) {
				docs[field.Doc], docs[field.Comment] = true, true
			}
			return true
		})
		return true
	case *ast.ValueSpec:
		isExported := slices.ContainsFunc(spec.Names, (*ast.Ident).IsExported)
		docs[spec.Doc], docs[spec.Comment] = isExported, isExported
		return isExported
	}
	return false
}

func TestPassages(t *testing.T) {
	const code = `// SPDX-License-Identifier: Apache-2.0

// Package a does.
package a

import "not a/text"

// T is
// two lines.
type T struct {
	A int ` + "`not:\"a text\"`" + ` // A is.
	b int // b is.
}

// f does.
//
//	code here
//nolint:all
func f() { _ = "a text" + "word" }

// M does.
func (T) M() {}
`
	tree := fstest.MapFS{
		"a/a.go":        {Data: []byte(code)},
		"internal/i.go": {Data: []byte("// Package i is.\npackage i")},
		"a/a_test.go":   {Data: []byte("// Package a tests.\npackage a\nvar A = \"a text\"\nfunc TestOfAnOOMKill() { _ = \"a text\" }")},
		"testdata/b.go": {Data: []byte(code)},
		".hidden/b.go":  {Data: []byte(code)},
		"vendor/b.go":   {Data: []byte(code)},
		"generated.go":  {Data: []byte("// Code generated by x. DO NOT EDIT.\n\n// Package b is.\npackage b")},
		"broken.go":     {Data: []byte("// Package b is.\nnot Go")},
		"page.md":       {Data: []byte("one\n```\ntwo\n```\nthree `four` five")},
	}
	all, err := passages(tree)
	assert.NilError(t, err)
	var got []string
	for _, p := range all {
		got = append(got, fmt.Sprintf("%s:%d %t %q", p.path, p.line, p.public, p.text))
	}
	assert.DeepEqual(t, got, []string{
		`a/a.go:1 false ""`,
		`a/a.go:3 true " Package a does."`,
		`a/a.go:8 true " T is\n two lines."`,
		`a/a.go:11 true " A is."`,
		`a/a.go:12 false " b is."`,
		`a/a.go:15 false " f does.\n\n\n"`,
		`a/a.go:19 true "a text"`,
		`a/a.go:21 true " M does."`,
		`a/a_test.go:1 false " Package a tests."`,
		`a/a_test.go:4 false "test of an OOM kill"`,
		`internal/i.go:1 false " Package i is."`,
		`page.md:1 true "one\n\n\n\nthree ` + "`code`" + ` five"`,
	})
	assert.Equal(t, wordCount(all), 32)
}
