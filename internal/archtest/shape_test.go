// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// shape has the figures of docs/decisions/style.md about the size of files and
// functions, in lines, without tests and generated files.
type shape struct {
	packages                map[string]bool // by directory
	files, functions        []int
	longest                 string
	lines, testLines        int
	commentLines, reminders int
	documented              map[string]bool // by directory and name, for each exported name
	examples, fuzzTests     int
	urls                    int // in comments
}

func shapeOf(sources []source) shape {
	s := shape{packages: map[string]bool{}, documented: map[string]bool{}}
	for _, file := range sources {
		lines := file.fileset.Position(file.syntax.FileEnd).Line
		switch {
		case file.isTest():
			s.testLines += lines
			s.addTests(file)
		case !ast.IsGenerated(file.syntax):
			s.packages[file.room()] = true
			s.files, s.lines = append(s.files, lines), s.lines+lines
			s.addFunctions(file)
			s.addComments(file)
			s.addNames(file)
		}
	}
	slices.Sort(s.files)
	slices.Sort(s.functions)
	return s
}

func (s *shape) addTests(file source) {
	for _, declaration := range file.syntax.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok && function.Recv == nil {
			switch {
			case strings.HasPrefix(function.Name.Name, "Example"):
				s.examples++
			case strings.HasPrefix(function.Name.Name, "Fuzz"):
				s.fuzzTests++
			}
		}
	}
}

func (s *shape) addFunctions(file source) {
	for _, declaration := range file.syntax.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok || function.Body == nil {
			continue
		}
		length := file.linesOf(function)
		if len(s.functions) == 0 || length > slices.Max(s.functions) {
			s.longest = function.Name.Name
		}
		s.functions = append(s.functions, length)
	}
}

var link = regexp.MustCompile(`https?://\S`)

func (s *shape) addComments(file source) {
	for _, group := range file.syntax.Comments {
		s.commentLines += file.linesOf(group)
		for _, comment := range group.List {
			if toDo.MatchString(comment.Text) {
				s.reminders++
			}
			s.urls += len(link.FindAllString(comment.Text, -1))
		}
	}
}

// selfExplained lists methods that need no docs, because an interface of the
// standard library documents them.
var selfExplained = []string{
	"Error", "Unwrap", "Is", "As", "String", "Read", "Write", "Close", "Len", "Less", "Swap",
	"MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText",
}

// addNames notes exported names. One with docs in any file of the package is
// documented: the same name of another platform has the same meaning.
func (s *shape) addNames(file source) {
	add := func(name string, docs ...*ast.CommentGroup) {
		if ast.IsExported(name[strings.LastIndex(name, ".")+1:]) {
			key := file.room() + " " + name
			s.documented[key] = s.documented[key] || slices.ContainsFunc(docs, func(d *ast.CommentGroup) bool { return d != nil })
		}
	}
	for _, declaration := range file.syntax.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				add(d.Name.Name, d.Doc)
			} else if of := receiverName(d.Recv.List[0].Type); ast.IsExported(of) && !slices.Contains(selfExplained, d.Name.Name) {
				add(of+"."+d.Name.Name, d.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					add(spec.Name.Name, d.Doc, spec.Doc, spec.Comment)
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						add(name.Name, d.Doc, spec.Doc, spec.Comment)
					}
				}
			}
		}
	}
}

func (s source) linesOf(node ast.Node) int {
	return s.fileset.Position(node.End()).Line - s.fileset.Position(node.Pos()).Line + 1
}

// String is a row of the table in docs/decisions/style.md.
func (s shape) String() string {
	if len(s.files) == 0 || len(s.functions) == 0 {
		return "no code"
	}
	over := func(limit int) int {
		i, _ := slices.BinarySearch(s.functions, limit+1)
		return len(s.functions) - i
	}
	undocumented := 0
	for _, documented := range s.documented {
		if !documented {
			undocumented++
		}
	}
	return fmt.Sprintf("| %d | %d | %d | %d | %d | %d / %d / %d | %d %s | %d / %d | %.2f | %.0f %% | %d / %d | %d | %d |",
		len(s.packages), len(s.files), s.lines, s.files[len(s.files)/2], s.files[len(s.files)-1],
		s.functions[len(s.functions)/2], over(40), over(60), s.functions[len(s.functions)-1], s.longest,
		len(s.documented), undocumented, float64(s.testLines)/float64(s.lines), 100*float64(s.commentLines)/float64(s.lines),
		s.examples, s.fuzzTests, s.reminders, s.urls)
}

// TestShape logs the figures of this module and its parts, or of the code below
// -tree.
func TestShape(t *testing.T) {
	if *otherTree != "" {
		absolute, err := filepath.Abs(*otherTree)
		assert.NilError(t, err)
		entries, err := os.ReadDir(absolute)
		assert.NilError(t, err)
		assert.Check(t, len(entries) > 0)
		sources, err := load(absolute)
		assert.NilError(t, err)
		t.Log(shapeOf(house(sources)))
		return
	}
	sources, err := tree()
	assert.NilError(t, err)
	for _, part := range []string{"", "./", "v2/", "engineapi/", "internal/", "executor/"} {
		var in []source
		for _, s := range house(sources) {
			if strings.HasPrefix(s.room()+"/", part) {
				in = append(in, s)
			}
		}
		t.Log(part, shapeOf(in))
	}
}

func TestShapeCounts(t *testing.T) {
	sources := drawing{
		"a.go":      "package a\n\n// one is\n// https://one. TODO\nfunc one() {}\n\nfunc four() {\n\tone()\n\tone()\n}\n",
		"b.go":      "package a\n\nconst X = 1\n\n// Y is.\ntype Y int\n\nfunc (Y) M() {}\n\nfunc (Y) Error() string { return \"\" }\n",
		"b/b.go":    "package b\n\nvar X, y int // X is.\n\ntype t int\n\nfunc (t) M() {}\n",
		"c.go":      "// Code generated by x. DO NOT EDIT.\n\npackage a\n\nfunc Generated() {\n\n\n\n\n\n\n}\n",
		"a_test.go": "package a\n\nfunc ExampleX() {}\n\nfunc FuzzX() {}\n",
	}.sources(t)
	assert.Equal(t, shapeOf(sources).String(), "| 2 | 3 | 27 | 10 | 10 | 1 / 0 / 0 | 4 four | 4 / 2 | 0.19 | 15 % | 1 / 1 | 1 | 1 |")
}
