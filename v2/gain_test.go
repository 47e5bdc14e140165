// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// TestRestrictions holds every pair of words to the order in which runtimes apply
// them: recursive attributes last, wherever they are written.
func TestRestrictions(t *testing.T) {
	for _, pair := range [][2]string{{"ro", "rw"}, {"nosuid", "suid"}, {"nodev", "dev"}, {"noexec", "exec"}, {"nosymfollow", "symfollow"}} {
		no, yes := pair[0], pair[1]
		for _, tc := range []struct{ options, want string }{
			{"", ""},
			{no, no},
			{yes, ""},
			{no + " " + yes, ""},
			{yes + " " + no, no},
			{"r" + no, "r" + no + " " + no},
			{"r" + yes, ""},
			{no + " r" + yes, ""},
			{"r" + yes + " " + no, ""},
			{"r" + no + " " + yes, "r" + no + " " + no},
			{yes + " r" + no, "r" + no + " " + no},
			{"r" + no + " r" + yes, ""},
			{no + " r" + no + " r" + yes, ""},
			{no + " r" + yes + " r" + no, "r" + no + " " + no},
		} {
			options := append(strings.Fields(tc.options), "rbind", "noatime")
			assert.Check(t, slices.Equal(restrictions(options), strings.Fields(tc.want)), "%q: %q", options, restrictions(options))
			assert.Check(t, is.Equal(isWritable(options), !slices.Contains(strings.Fields(tc.want), "ro")), tc.options)
			assert.Check(t, is.Equal(isWritableBelow(options), !slices.Contains(strings.Fields(tc.want), "rro")), tc.options)
		}
	}
}
