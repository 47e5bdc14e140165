// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// The code that README.md and the package's documentation show is part of the
// examples, which are compiled.
func TestQuotedCodeIsCompiled(t *testing.T) {
	read := func(name string) string {
		content, err := os.ReadFile(filepath.Join("..", "..", name))
		assert.NilError(t, err)
		return string(content)
	}
	examples := read("example_linux_test.go")
	for name, blocks := range map[string][]string{
		"README.md": goBlocks(read("README.md")),
		"doc.go":    {docCode(read("doc.go"), "# Use")},
	} {
		assert.Check(t, len(blocks) > 0, "%s quotes no code", name)
		for _, line := range uncompiled(blocks, examples) {
			t.Errorf("%s: not in example_linux_test.go: %s", name, line)
		}
	}
}

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

// goBlocks returns the blocks of Go in a page.
func goBlocks(page string) (blocks []string) {
	for _, match := range goBlock.FindAllStringSubmatch(page, -1) {
		blocks = append(blocks, match[1])
	}
	return blocks
}

// docCode returns the code in a package comment after a heading.
func docCode(file, heading string) string {
	_, after, _ := strings.Cut(file, "// "+heading+"\n")
	comment, _, _ := strings.Cut(after, "\npackage ")
	var lines []string
	for line := range strings.Lines(comment) {
		lines = append(lines, strings.TrimPrefix(strings.TrimPrefix(line, "//"), "\t"))
	}
	return strings.Join(lines, "")
}

// uncompiled returns the lines of the blocks that do not follow one another in
// source. Imports may have comments there, and stand in any place.
func uncompiled(blocks []string, source string) (missing []string) {
	lines := trimmedLines(source)
	for _, block := range blocks {
		at := -1
		for _, line := range trimmedLines(block) {
			if strings.HasPrefix(line, `"`) || line == "import (" || line == ")" {
				line, _, _ = strings.Cut(line, " // ")
				if !slices.Contains(lines, line) {
					missing = append(missing, line)
				}
				continue
			}
			next := slices.Index(lines[at+1:], line)
			if next < 0 || at >= 0 && next > 0 {
				missing = append(missing, line)
				continue
			}
			at += 1 + next
		}
	}
	return missing
}

// trimmedLines returns the lines of text that are not empty, without margins.
func trimmedLines(text string) (lines []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestUncompiledFinds(t *testing.T) {
	const source = "package a\nimport (\n\t\"b\"\n)\nfunc f() {\n\tx := 1\n\n\ty := 2\n\tz := 3\n}\n"
	tests := []struct {
		name, block string
		want        []string
	}{
		{"the same", "x := 1\ny := 2\n", nil},
		{"with imports", "import (\n\t\"b\" // was c\n)\n\ny := 2", nil},
		{"another import", "import (\n\t\"d\"\n)\n", []string{`"d"`}},
		{"another line", "x := 1\ny := 3\n", []string{"y := 3"}},
		{"a line left out", "x := 1\nz := 3\n", []string{"z := 3"}},
		{"another order", "y := 2\nx := 1\n", []string{"x := 1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			page := "text\n```go\n" + tt.block + "```\n```console\n$ x\n```\n"
			assert.DeepEqual(t, uncompiled(goBlocks(page), source), tt.want)
		})
	}
	assert.Equal(t, docCode("// # Use\n//\n//\tx := 1\n//\ty := 2\npackage a", "# Use"), "\nx := 1\ny := 2")
}
