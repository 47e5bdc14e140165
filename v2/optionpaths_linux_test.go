// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"slices"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func TestOptionPaths(t *testing.T) {
	for _, tc := range []struct {
		name    string
		options []string
		want    []optionPath
	}{
		{"none", nil, nil},
		{"words", []string{"ro", "size=1m"}, nil},
		{"an upper directory", []string{"upperdir=/u"}, []optionPath{{"upperdir", "/u"}}},
		{"several layers", []string{"lowerdir=/a:/b:c"}, []optionPath{{"lowerdir", "/a"}, {"lowerdir", "/b"}}},
		{"a colon in a name", []string{`lowerdir=/a\:b:/c`}, []optionPath{{"lowerdir", "/a:b"}, {"lowerdir", "/c"}}},
		{"a comma in a name", []string{`upperdir=/a\`, "b", "ro"}, []optionPath{{"upperdir", "/a,b"}}},
		{"a backslash in a name", []string{`upperdir=/a\\`, "workdir=/w"}, []optionPath{{"upperdir", `/a\`}, {"workdir", "/w"}}},
		{"an option of another file system", []string{"journal_path=/j"}, []optionPath{{"journal_path", "/j"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Check(t, slices.Equal(optionPaths(tc.options), tc.want), "%q", optionPaths(tc.options))
		})
	}
}

// TestLayersMustBeAbsolute gives an overlay directories to write to that depend
// on where the runtime is.
func TestLayersMustBeAbsolute(t *testing.T) {
	for option, refused := range map[string]bool{
		"upperdir=../../srv": true, "workdir=w": true, `upperdir=\../srv`: true, "upperdir=/u": false, "lowerdir=l": false,
	} {
		_, relative := relativeLayer([]string{"ro", option})
		assert.Check(t, is.Equal(relative, refused), option)
	}
}
