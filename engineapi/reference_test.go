// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func TestReferences(t *testing.T) {
	for _, tc := range []struct {
		name    string
		remote  string
		alias   string
		fetched string
		local   string
	}{
		{"short", "foo", "", "docker.io/library/foo:latest", "foo:latest"},
		{"of a user", "ann/foo", "", "docker.io/ann/foo:latest", "ann/foo:latest"},
		{"tagged", "foo:v1", "", "docker.io/library/foo:v1", "foo:v1"},
		{"of a host", "a.example:5000/foo:v1", "", "a.example:5000/foo:v1", "a.example:5000/foo:v1"},
		{"of docker's own host", "docker.io/library/foo:v1", "", "docker.io/library/foo:v1", "foo:v1"},
		{"by digest", "foo@" + digest, "", "docker.io/library/foo@" + digest, "foo:latest"},
		{"by digest and tag", "foo:v1@" + digest, "", "docker.io/library/foo@" + digest, "foo:v1"},
		{"aliased", "foo:v1", "bar", "docker.io/library/foo:v1", "bar:latest"},
		{"aliased with a tag", "foo:v1", "bar:v2", "docker.io/library/foo:v1", "bar:v2"},
		{"aliased to a host", "foo:v1", "a.example/bar", "docker.io/library/foo:v1", "a.example/bar:latest"},
		{"aliased in full", "foo:v1", "docker.io/library/bar", "docker.io/library/foo:v1", "bar:latest"},
		{"by digest, aliased", "foo:v1@" + digest, "bar", "docker.io/library/foo@" + digest, "bar:latest"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			parsed, err := parseRemote(tc.remote)
			assert.NilError(t, err)
			assert.Check(t, is.Equal(parsed.ref.String(), tc.fetched))
			local, err := parsed.localName(tc.alias)
			assert.NilError(t, err)
			assert.Check(t, is.Equal(local, tc.local))
		})
	}
}

func TestReferencesRefused(t *testing.T) {
	for _, tc := range []struct{ name, remote, alias, message string }{
		{"empty", "", "", `parse remote "": invalid reference format`},
		{"an id", id, "", "cannot specify 64-byte hexadecimal strings"},
		{"upper case", "Foo", "", "must be lowercase"},
		{"a short digest", "foo@sha256:abc", "", "invalid reference format"},
		{"alias by digest", "foo", "bar@" + digest, "cannot use digest in plugin tag"},
		{"alias by tag and digest", "foo", "bar:v1@" + digest, "cannot use digest in plugin tag"},
		{"alias upper case", "foo", "Bar", `parse name "Bar"`},
		{"alias an id", "foo", id, "cannot specify 64-byte hexadecimal strings"},
		{"alias a path upwards", "foo", "../bar", "invalid reference format"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			parsed, err := parseRemote(tc.remote)
			if err == nil {
				_, err = parsed.localName(tc.alias)
			}
			assert.Check(t, is.ErrorContains(err, tc.message))
			assert.Check(t, errdefs.IsInvalidArgument(err))
		})
	}
}

// FuzzReferences checks that any text either fails with a class, or gives a
// reference to fetch and a name to look up.
func FuzzReferences(f *testing.F) {
	for _, seed := range []string{"foo", "foo:v1", "foo@" + digest, "foo:v1@" + digest, "a.example:5000/foo", id, "", "Foo", "../x"} {
		f.Add(seed, seed)
		f.Add(seed, "")
	}
	f.Fuzz(func(t *testing.T, value, alias string) {
		parsed, err := parseRemote(value)
		if err != nil {
			assert.Assert(t, errdefs.IsInvalidArgument(err))
			return
		}
		assert.Assert(t, !reference.IsNameOnly(parsed.ref))
		again, err := parseRemote(parsed.ref.String())
		assert.NilError(t, err)
		assert.Equal(t, again.ref.String(), parsed.ref.String())

		local, err := parsed.localName(alias)
		if err != nil {
			assert.Assert(t, errdefs.IsInvalidArgument(err))
			return
		}
		assert.Assert(t, !strings.Contains(local, "@"), local)
		named, err := reference.ParseNormalizedNamed(local)
		assert.NilError(t, err)
		assert.Equal(t, reference.FamiliarString(reference.TagNameOnly(named)), local)
	})
}

func TestErrorsHaveNoAccount(t *testing.T) {
	for _, tc := range []struct{ value, want string }{
		{"UPPER", "UPPER"},
		{"user:hunter2@host/plugin", "...@host/plugin"},
		{"https://user:hunter2@host/plugin", "https://...@host/plugin"},
		{"https://user:hunter2@host", "https://...@host"},
		{"user:hunt@er2@host:5000/plugin:v1", "...@host:5000/plugin:v1"},
		{"plugin:v1@sha256:short", "plugin:v1@sha256:short"},
		{"host/plugin@nothing", "host/plugin@nothing"},
		{"@", "...@"},
	} {
		t.Run(tc.value, func(t *testing.T) {
			assert.Equal(t, withoutAccount(tc.value), tc.want)
			_, err := parseRemote(tc.value)
			assert.ErrorContains(t, err, strconv.Quote(tc.want))
			_, err = remote{}.localName(tc.value)
			assert.ErrorContains(t, err, strconv.Quote(tc.want))
		})
	}
}
