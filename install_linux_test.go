// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"gotest.tools/v3/assert"
)

// FuzzNames: a name for a new plugin is refused as a name, or finds the plugin
// again. Looking up any reference does no harm.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"", "p", "a/b:c", "a.example:5000/p", "P", "../p", "p@" + fuzzedDigest, "p:t@" + fuzzedDigest, fullID("a"), fullID("a")[:12]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ps := NewStore()
		assert.NilError(t, ps.Add(stored(fullID("a"), "taken:latest", true, "volumedriver")))
		found, err := ps.GetV2Plugin(text)
		if err != nil {
			assert.Assert(t, errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err), "%v", err)
		} else {
			assert.Assert(t, strings.HasPrefix(found.GetID(), text) || strings.Contains(text, "taken"), "%q found the plugin", text)
		}

		name, err := parseNewName(text)
		if err != nil {
			assert.Assert(t, errdefs.IsInvalidArgument(err), "%v", err)
			return
		}
		again, err := parseNewName(name)
		assert.NilError(t, err)
		assert.Equal(t, again, name)
		named, err := reference.ParseNormalizedNamed(text)
		assert.NilError(t, err)
		pulled, err := pullName(named, "")
		assert.NilError(t, err)
		assert.Equal(t, pulled, name)

		if name != "taken:latest" {
			assert.NilError(t, ps.Add(stored(fullID("b"), name, true, "volumedriver")))
			found, err = ps.GetV2Plugin(name)
			assert.NilError(t, err)
			assert.Equal(t, found.Name(), name)
		}
	})
}

const fuzzedDigest = "sha256:" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
