// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// licence is the first line of every Go file, in the form of
// https://spdx.github.io/spdx-spec/v2.3/using-SPDX-short-identifiers-in-source-files/.
const licence = "// SPDX-License-Identifier: Apache-2.0"

func TestEveryFileNamesItsLicence(t *testing.T) { check(t, unlicensed) }

// unlicensed lists the files that do not start with the licence line, except for
// test data.
func unlicensed(sources []source) []string {
	var problems []string
	for _, s := range sources {
		if !strings.Contains(s.path, "testdata/") && firstLine(s) != licence {
			problems = append(problems, s.path+": the first line is not "+licence)
		}
	}
	return problems
}

// firstLine returns the comment that starts on line 1, if there is one.
func firstLine(s source) string {
	if len(s.syntax.Comments) == 0 {
		return ""
	}
	first := s.syntax.Comments[0].List[0]
	if s.fileset.Position(first.Pos()).Offset != 0 {
		return ""
	}
	return first.Text
}

func TestUnlicensedFinds(t *testing.T) {
	sources := drawing{
		"a/a.go":          licence + "\n\npackage a",
		"b/b.go":          "package b",
		"c/c.go":          "package c\n\n" + licence,
		"d/testdata/d.go": "package d",
	}.sources(t)
	assert.DeepEqual(t, unlicensed(sources), []string{
		"b/b.go: the first line is not " + licence,
		"c/c.go: the first line is not " + licence,
	})
}
