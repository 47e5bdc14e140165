// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// The files of a room that are for Linux only are limited to it in one way: by the end
// of their names, or by a line of their text. Tests can differ from the code that they test.
func TestPlatformsAreNamedOneWay(t *testing.T) { check(t, mixedPlatforms) }

func mixedPlatforms(sources []source) []string {
	type ways struct{ byName, byLine string }
	seen := map[string]ways{}
	var problems []string
	for _, s := range sources {
		suffix, kind := "_linux.go", s.room()
		if s.isTest() {
			suffix, kind = "_linux_test.go", "tests of "+kind
		}
		named, lined := strings.HasSuffix(s.path, suffix), isForLinux(s)
		w := seen[kind]
		switch {
		case named && lined:
			problems = append(problems, s.path+": its name and a line limit it to Linux: remove the line")
		case named:
			w.byName = s.path
		case lined:
			w.byLine = s.path
		}
		seen[kind] = w
	}
	for _, kind := range slices.Sorted(maps.Keys(seen)) {
		if w := seen[kind]; w.byName != "" && w.byLine != "" {
			problems = append(problems, fmt.Sprintf("%s: %s is limited to Linux by its name, %s by a line", kind, w.byName, w.byLine))
		}
	}
	return problems
}

// isForLinux reports whether a line of the file limits it to Linux.
func isForLinux(s source) bool {
	for _, group := range s.syntax.Comments {
		for _, comment := range group.List {
			if comment.Text == "//go:build linux" {
				return true
			}
		}
	}
	return false
}

func TestMixedPlatformsFinds(t *testing.T) {
	const line = "//go:build linux\n\npackage p"
	found := mixedPlatforms(drawing{
		"a_linux.go":        "package p",
		"a_test.go":         line,
		"b/a_linux_test.go": "package p",
		"b/b_test.go":       line,
		"b/c.go":            line,
		"c/a_linux.go":      line,
	}.sources(t))
	assert.DeepEqual(t, found, []string{
		"c/a_linux.go: its name and a line limit it to Linux: remove the line",
		"tests of b: b/a_linux_test.go is limited to Linux by its name, b/b_test.go by a line",
	})
}
