// SPDX-License-Identifier: Apache-2.0

package ids

import (
	"regexp"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

func TestNew(t *testing.T) {
	form, number := regexp.MustCompile("^[0-9a-f]{64}$"), regexp.MustCompile("^[0-9]+$")
	seen := make(map[string]bool)
	for range 10_000 {
		id := New()
		assert.Assert(t, form.MatchString(id), id)
		assert.Assert(t, !number.MatchString(Short(id)), id)
		assert.Assert(t, !seen[id])
		seen[id] = true
	}
}

func TestShort(t *testing.T) {
	for _, test := range []struct{ name, id, want string }{
		{"an id", "0123456789abcdef0123", "0123456789ab"},
		{"a digest", "sha256:0123456789abcdef0123", "0123456789ab"},
		{"a short one", "0123", "0123"},
		{"a digest without digits", "sha256:", ""},
		{"nothing", "", ""},
	} {
		assert.Equal(t, Short(test.id), test.want, test.name)
	}
}

func TestFromLegacy(t *testing.T) {
	whole := strings.Repeat("ab", 32)
	assert.Equal(t, FromLegacy(whole), whole)
	seen := map[string]string{}
	for _, old := range []string{"cd851ce43a403", "cd851ce43a4030", "sshfs", "SSHFS", strings.ToUpper(whole), whole + "0", whole[:63], "x y"} {
		id := FromLegacy(old)
		assert.Check(t, regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(id), "%s becomes %s", old, id)
		assert.Equal(t, FromLegacy(old), id)
		assert.Equal(t, seen[id], "", "two IDs become one")
		seen[id] = old
	}
	assert.Check(t, strings.HasPrefix(FromLegacy("cd851ce43a403"), "cd851ce43a403"))
	assert.Check(t, !strings.HasPrefix(FromLegacy(whole[:33]), whole[:33]), "too few digits are left for the hash")
	// A released form: plugins are found by it.
	assert.Equal(t, FromLegacy("sshfs"), "ec6cb20e09a813105f60dfa60141550e1892c3b724b8b4bdfaaf5b322b7068aa")
}
