// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// The table of rooms in ARCHITECTURE.md lists exactly the rooms of the tree.
func TestMapIsComplete(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "ARCHITECTURE.md"))
	assert.NilError(t, err)
	check(t, func(sources []source) []string { return mapProblems(string(text), sources) })
}

// The root directory, which newcomers open first, has few enough entries to fit on a
// screen.
func TestRootIsSmall(t *testing.T) {
	check(t, func(sources []source) []string { return crowded(sources, 30) })
	entries, err := filepath.Glob(filepath.Join("..", "..", "[^.]*"))
	assert.NilError(t, err)
	const limit = 62
	assert.Check(t, len(entries) <= limit, "the root has %d entries, more than %d: make a room", len(entries), limit)
}

// mapProblems lists rooms and source files of the root that the table does not
// name, and names in the table that do not exist. A room stands also for the rooms
// below it.
func mapProblems(text string, sources []source) []string {
	names := mapped(text)
	used := map[string]bool{}
	var problems []string
	for _, thing := range mappable(sources) {
		i := slices.IndexFunc(names, func(name string) bool {
			matches, _ := path.Match(name, thing)
			return matches || strings.HasPrefix(thing+"/", strings.TrimSuffix(name, "/")+"/")
		})
		if i < 0 {
			problems = append(problems, thing+" is not in the map in ARCHITECTURE.md")
			continue
		}
		used[names[i]] = true
	}
	for _, name := range names {
		if !used[name] {
			problems = append(problems, fmt.Sprintf("ARCHITECTURE.md names %s, which is not in the tree", name))
		}
	}
	return problems
}

// mapped returns the code spans in the first column of the table of rooms, the
// longest first.
func mapped(text string) []string {
	var names []string
	for row := range strings.Lines(text[max(0, strings.Index(text, "| room |")):]) {
		if !strings.HasPrefix(row, "|") && strings.TrimSpace(row) != "" {
			break
		}
		for _, span := range regexp.MustCompile("`[^`]+`").FindAllString(strings.Split(row+"||", "|")[1], -1) {
			names = append(names, strings.Trim(span, "`"))
		}
	}
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	return names
}

// mappable returns the source files of the root, and the rooms.
func mappable(sources []source) []string {
	var things []string
	for _, s := range sources {
		thing := s.room()
		switch {
		case thing == "." && s.isTest(), strings.Contains(s.path, "testdata/"):
			continue
		case thing == ".":
			thing = s.path
		}
		if !slices.Contains(things, thing) {
			things = append(things, thing)
		}
	}
	return things
}

// crowded reports a root with more than most source files.
func crowded(sources []source, most int) []string {
	count := 0
	for _, s := range sources {
		if s.room() == "." && !s.isTest() {
			count++
		}
	}
	if count > most {
		return []string{fmt.Sprintf("the root has %d source files, more than %d: make a room", count, most)}
	}
	return nil
}

func TestMapProblemsFinds(t *testing.T) {
	const text = "# A\n| `c` | not a room |\n\n| room | what for |\n|---|---|\n| `a.go`, `b_*.go` | `x` |\n| `internal/one` | `y` |\n| `gone`, `examples/` | z |\nend\n| `no` | row |\n"
	found := mapProblems(text, drawing{
		"a.go":                     "package p",
		"a_test.go":                "package p",
		"b_linux.go":               "package p",
		"c.go":                     "package p",
		"internal/one/one.go":      "package one",
		"internal/one/deep/two.go": "package two",
		"internal/other/a.go":      "package other",
		"examples/a/testdata/a.go": "package a",
		"examples/a/a.go":          "package a",
	}.sources(t))
	assert.DeepEqual(t, found, []string{
		"c.go is not in the map in ARCHITECTURE.md",
		"internal/other is not in the map in ARCHITECTURE.md",
		"ARCHITECTURE.md names gone, which is not in the tree",
	})
}

func TestCrowdedFinds(t *testing.T) {
	sources := drawing{"a.go": "package p", "b.go": "package p", "b_test.go": "package p", "c/c.go": "package c"}.sources(t)
	assert.Equal(t, len(crowded(sources, 2)), 0)
	assert.DeepEqual(t, crowded(sources, 1), []string{"the root has 2 source files, more than 1: make a room"})
}
