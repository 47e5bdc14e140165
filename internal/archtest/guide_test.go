// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
)

// The tables of docs/authors.md have a row for each thing that the code has, and
// no other row.

// TestGuideListsEveryField compares the table of the config with docker's type.
func TestGuideListsEveryField(t *testing.T) {
	fields := map[string]string{}
	addFields(fields, "", reflect.TypeFor[types.PluginConfig]())
	for _, problem := range fieldProblems(guideTable(t, "field"), fields) {
		t.Error(problem)
	}
}

// TestGuideListsEveryHint compares the table of hints with the texts of
// internal/diagnose and of the functions of the root that make a StartError.
func TestGuideListsEveryHint(t *testing.T) {
	check(t, func(sources []source) []string {
		var hints []quote
		for _, s := range sources {
			switch {
			case s.isTest():
			case s.room() == "internal/diagnose":
				hints = append(hints, textsIn(s.syntax, "")...)
			case s.path == "process.go":
				hints = append(hints, textsIn(function(s, "hint"), "")...)
				hints = append(hints, textsIn(function(s, "diagnose"), "")...)
			}
		}
		return quoteProblems(guideTable(t, "hint"), hints)
	})
}

// TestGuideListsEveryProblem compares the table of a config's problems with the
// reasons in v2.
func TestGuideListsEveryProblem(t *testing.T) {
	effects := map[string]string{"refuse": "refused", "impossible": "no start", "warn": "warning"}
	check(t, func(sources []source) []string {
		var reasons []quote
		for _, s := range sources {
			if s.room() == "v2" && !s.isTest() {
				reasons = append(reasons, reasonsIn(s, effects)...)
			}
		}
		return quoteProblems(guideTable(t, "reason"), reasons)
	})
}

// TestGuideListsEveryPhase compares the table of phases with the constants.
func TestGuideListsEveryPhase(t *testing.T) {
	check(t, func(sources []source) []string {
		var phases []quote
		for _, s := range sources {
			if s.path == "errors.go" {
				phases = append(phases, constantsOf(s, "StartPhase")...)
			}
		}
		return quoteProblems(guideTable(t, "phase"), phases)
	})
}

// row is a row of a table: the code span in its first column, and its second
// column.
type row struct{ name, second string }

func guideTable(t *testing.T, heading string) []row {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "authors.md"))
	assert.NilError(t, err)
	return tableRows(string(page), heading)
}

// tableRows returns the rows of the table with a first column of that heading.
func tableRows(page, heading string) (rows []row) {
	_, table, _ := strings.Cut(page, "\n| "+heading+" |")
	for i, line := range strings.Split(table, "\n") {
		if i < 2 { // the rest of the heading, and the line below it
			continue
		}
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(line, "|")
		rows = append(rows, row{strings.Trim(cells[1], " `"), strings.TrimSpace(cells[2])})
	}
	return rows
}

// addFields adds the JSON fields below a type, with the names of their types. Go
// marks an array of objects by [].
func addFields(fields map[string]string, prefix string, typ reflect.Type) {
	for _, field := range reflect.VisibleFields(typ) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		name, leaf := prefix+strings.ToLower(name[:1])+name[1:], field.Type
		if leaf.Kind() == reflect.Pointer {
			leaf = leaf.Elem()
		}
		switch kind := leaf.Kind(); {
		case kind == reflect.Slice && isObject(leaf.Elem()):
			addFields(fields, name+"[].", leaf.Elem())
		case kind == reflect.Struct:
			addFields(fields, name+".", leaf)
		case kind == reflect.Slice:
			fields[strings.ToLower(name)] = "array of strings"
		case kind == reflect.Bool:
			fields[strings.ToLower(name)] = "boolean"
		case kind == reflect.String:
			fields[strings.ToLower(name)] = "string"
		default:
			fields[strings.ToLower(name)] = "number"
		}
	}
}

// isObject reports whether JSON has an object for a value of typ. It has a string
// for the type of an interface.
func isObject(typ reflect.Type) bool {
	return typ.Kind() == reflect.Struct && typ != reflect.TypeFor[types.PluginInterfaceType]()
}

// fieldProblems compares rows with the types of fields, which have names in lower
// case.
func fieldProblems(rows []row, fields map[string]string) (problems []string) {
	seen := map[string]bool{}
	for _, r := range rows {
		name := strings.ToLower(r.name)
		switch want, ok := fields[name]; {
		case !ok:
			problems = append(problems, "there is no field "+r.name)
		case seen[name]:
			problems = append(problems, r.name+" has two rows")
		case r.second != want:
			problems = append(problems, fmt.Sprintf("%s is of type %s, not %s", r.name, want, r.second))
		}
		seen[name] = true
	}
	for name := range fields {
		if !seen[name] {
			problems = append(problems, name+" has no row")
		}
	}
	slices.Sort(problems)
	return problems
}

// quote is a text of the code.
type quote struct {
	text   string
	format bool   // verbs of fmt stand for values
	effect string // the second column; empty for any
}

var verb = regexp.MustCompile(`%[a-z]`)

// matches reports whether a row has the text, with words in capitals for values. A
// text that ends with a space goes on with a value.
func (q quote) matches(r row) bool {
	const value = "[A-Z]+"
	if q.effect != "" && q.effect != r.second {
		return false
	}
	texts := []string{q.text}
	if q.format {
		texts = verb.Split(q.text, -1)
	}
	for i, text := range texts {
		texts[i] = regexp.QuoteMeta(text)
	}
	expression := strings.Join(texts, value)
	if strings.HasSuffix(expression, " ") {
		expression += value
	}
	return regexp.MustCompile("^" + expression + "$").MatchString(r.name)
}

func quoteProblems(rows []row, quotes []quote) (problems []string) {
	if len(quotes) == 0 {
		return []string{"the code has no such texts"}
	}
	for _, q := range quotes {
		if !slices.ContainsFunc(rows, q.matches) {
			problems = append(problems, fmt.Sprintf("docs/authors.md has no row for %q %s", q.text, q.effect))
		}
	}
	for i, r := range rows {
		if slices.Contains(rows[:i], r) {
			problems = append(problems, fmt.Sprintf("docs/authors.md has two rows %q", r.name))
		}
		if !slices.ContainsFunc(quotes, func(q quote) bool { return q.matches(r) }) {
			problems = append(problems, fmt.Sprintf("docs/authors.md has %q %s, which is not in the code", r.name, r.second))
		}
	}
	return problems
}

// function returns the function or method of that name, or an empty one.
func function(s source, name string) ast.Node {
	for _, declaration := range s.syntax.Decls {
		if f, ok := declaration.(*ast.FuncDecl); ok && f.Name.Name == name {
			return f
		}
	}
	return &ast.BlockStmt{}
}

// textsIn returns the literals below node that have a space.
func textsIn(node ast.Node, effect string) (quotes []quote) {
	formats := map[ast.Expr]bool{}
	ast.Inspect(node, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.CallExpr:
			if callee, ok := node.Fun.(*ast.SelectorExpr); ok && strings.HasSuffix(callee.Sel.Name, "rintf") {
				formats[node.Args[0]] = true
			}
		case *ast.BasicLit:
			text, err := strconv.Unquote(node.Value)
			if err == nil && node.Kind == token.STRING && strings.Contains(text, " ") {
				quotes = append(quotes, quote{text, formats[node], effect})
			}
		}
		return true
	})
	return quotes
}

// reasonsIn returns the texts in the last arguments of calls of the validator's
// methods, which effects has.
func reasonsIn(s source, effects map[string]string) (quotes []quote) {
	for _, declaration := range s.syntax.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if !ok || effects[f.Name.Name] != "" {
			continue
		}
		ast.Inspect(f, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			if callee, ok := call.Fun.(*ast.SelectorExpr); ok && effects[callee.Sel.Name] != "" && len(call.Args) > 0 {
				quotes = append(quotes, textsIn(call.Args[len(call.Args)-1], effects[callee.Sel.Name])...)
			}
			return true
		})
	}
	return quotes
}

// constantsOf returns the values of the constants of a type.
func constantsOf(s source, typ string) (quotes []quote) {
	ast.Inspect(s.syntax, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == typ {
			for _, value := range spec.Values {
				if literal, ok := value.(*ast.BasicLit); ok {
					quotes = append(quotes, quote{text: strings.Trim(literal.Value, `"`)})
				}
			}
		}
		return true
	})
	return quotes
}

func TestFieldProblemsFinds(t *testing.T) {
	type entry struct {
		Name  string `json:"Name"`
		Count uint32 `json:"Count,omitempty"`
	}
	type config struct {
		Types   []types.PluginInterfaceType `json:"Types"`
		Entries []entry                     `json:"Entries"`
		One     *entry                      `json:"one,omitempty"`
		On      bool                        `json:"On"`
	}
	fields := map[string]string{}
	addFields(fields, "", reflect.TypeFor[config]())
	page := "| a |\n\n| field | type |\n|---|---|\n| `types` | array of strings | a |\n| `entries[].name` | string |\n| `entries[].count` | string |\n" +
		"| `one.name` | string |\n| `one.name` | string |\n| `oN` | boolean |\n| `gone` | string |\n\n| `one.count` | number |\n"
	assert.DeepEqual(t, fieldProblems(tableRows(page, "field"), fields), []string{
		"entries[].count is of type number, not string",
		"one.count has no row",
		"one.name has two rows",
		"there is no field gone",
	})
}

func TestQuoteProblemsFinds(t *testing.T) {
	const code = `package a
func (v *validator) warn(field string) { v.refuse(field, "not a reason") }
func f() {
	v.refuse("a b", fmt.Sprintf("has %d bytes", 1))
	v.warn("field", "", "is at 100% here")
	v.warn("field", "", "is read as "+clean)
	v.other("a b")
}
type StartPhase string
const (
	One StartPhase = "one"
	Two string = "two"
)
`
	s := drawing{"a.go": code}.sources(t)[0]
	reasons := reasonsIn(s, map[string]string{"refuse": "refused", "warn": "warning"})
	page := "\n| reason | effect |\n|---|---|\n| `has NUMBER bytes` | refused |\n| `is read as PATH` | refused |\n| `is at 100% here` | warning |\n| `is at 100% here` | warning |\n"
	assert.DeepEqual(t, quoteProblems(tableRows(page, "reason"), reasons), []string{
		`docs/authors.md has no row for "is read as " warning`,
		`docs/authors.md has "is read as PATH" refused, which is not in the code`,
		`docs/authors.md has two rows "is at 100% here"`,
	})
	assert.DeepEqual(t, quoteProblems(nil, nil), []string{"the code has no such texts"})
	assert.Equal(t, len(textsIn(function(s, "f"), "")), 5)
	assert.Equal(t, len(textsIn(function(s, "absent"), "")), 0)
	phases := constantsOf(s, "StartPhase")
	assert.Equal(t, len(phases), 1)
	assert.Equal(t, phases[0].text, "one")
}
