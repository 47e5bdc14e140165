package ids

import (
	"regexp"
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
