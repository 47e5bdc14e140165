// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"
)

func TestManifest(t *testing.T) {
	a, b, c := digest.FromString("a"), digest.FromString("b"), digest.FromString("c")
	for name, test := range map[string]struct {
		content string
		want    []digest.Digest
	}{
		"manifest":          {`{"config":{"digest":"` + a.String() + `"},"layers":[{"digest":"` + b.String() + `"},{"digest":"` + c.String() + `"}]}`, []digest.Digest{a, b, c}},
		"index":             {`{"manifests":[{"digest":"` + c.String() + `"}]}`, []digest.Digest{c}},
		"malformed digests": {`{"config":{"digest":"../x"},"layers":[{"digest":""},{"digest":"md5:0"},{"digest":"` + b.String() + `"}]}`, []digest.Digest{b}},
		"no manifest":       {"an archive", []digest.Digest{}},
		"null":              {"null", []digest.Digest{}},
		"list":              {"[]", []digest.Digest{}},
		"no references":     {`{"layers":null,"other":5}`, []digest.Digest{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, nil)
			dgst := put(t, s, s.NewPin(), test.content)
			m, err := s.Manifest(t.Context(), dgst)
			assert.NilError(t, err)
			assert.DeepEqual(t, m.Digests(), test.want)
		})
	}
}

// An unreadable manifest is an error, and not a manifest without references.
func TestManifestThatCannotBeRead(t *testing.T) {
	s := open(t, nil)
	_, err := s.Manifest(t.Context(), digest.FromString("missing"))
	assert.Check(t, errdefs.IsNotFound(err), "%v", err)
	dgst := put(t, s, s.NewPin(), "{}")
	overwrite(t, s, dgst, "[]")
	_, err = s.Manifest(t.Context(), dgst)
	assert.Check(t, errdefs.IsDataLoss(err), "%v", err)
	a := digest.FromString("a").String()
	for _, odd := range []string{
		`{"config":{"digest":"` + a + `"},"manifests":5}`,
		`{"layers":[{"digest":"` + a + `"}],"manifests":"none"}`,
		`{"config":{"digest":"` + a + `"},"layers":{}}`,
		`{"config":[],"layers":[{"digest":"` + a + `"}]}`,
	} {
		_, err = s.Manifest(t.Context(), put(t, s, s.NewPin(), odd))
		assert.ErrorContains(t, err, "read references of manifest", odd)
	}
	_, err = s.Manifest(t.Context(), put(t, s, s.NewPin(), strings.Repeat(" ", maxManifestBytes+1)))
	assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
}
