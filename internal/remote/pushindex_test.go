// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"encoding/json"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// storeIndex stores an index of manifests.
func (b *bench) storeIndex(t *testing.T, manifests ...ocispec.Descriptor) digest.Digest {
	t.Helper()
	data, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests})
	assert.NilError(t, err)
	dgst, err := b.store.Put(t.Context(), b.store.NewPin(), data)
	assert.NilError(t, err)
	return dgst
}

// A push of an index sends its plugins first, each blob once, and another client pulls
// the variant from it.
func TestPushIndex(t *testing.T) {
	b := newBench(t)
	b.mustPull(t)
	variant := b.target
	variant.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	second := variant
	second.Platform = &ocispec.Platform{OS: "linux", Architecture: "s390x"}
	index := b.storeIndex(t, variant, second)
	o := b.other(t)
	pushed, err := New(o.options).Push(t.Context(), o.request(t), index)
	assert.NilError(t, err)
	assert.Equal(t, pushed.Digest, index)
	mediaType, data := o.Manifest(repository, "latest")
	assert.Equal(t, mediaType, ocispec.MediaTypeImageIndex)
	assert.Equal(t, digest.FromBytes(data), index)
	_, manifest := o.Manifest(repository, b.target.Digest.String())
	assert.Equal(t, digest.FromBytes(manifest), b.target.Digest)

	o.freshStore(t)
	o.options.Platform = *second.Platform
	o.mustPull(t)
}

func TestPushIndexErrors(t *testing.T) {
	b := newBench(t)
	b.mustPull(t)
	missing := b.target
	missing.Digest = digest.FromString("missing")
	other := b.target
	other.MediaType = ocispec.MediaTypeImageIndex
	for name, tt := range map[string]struct {
		manifests []ocispec.Descriptor
		want      func(error) bool
	}{
		"missing variant": {[]ocispec.Descriptor{b.target, missing}, errdefs.IsNotFound},
		"no digest":       {[]ocispec.Descriptor{{MediaType: fake.MediaTypeManifest}}, errdefs.IsInvalidArgument},
		"nested":          {[]ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageIndex, Digest: b.storeIndex(t, b.target)}}, errdefs.IsInvalidArgument},
		"another type":    {[]ocispec.Descriptor{other}, errdefs.IsInvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			o := b.other(t)
			_, err := New(o.options).Push(t.Context(), o.request(t), b.storeIndex(t, tt.manifests...))
			assert.Check(t, tt.want(err), "%v", err)
			assert.Equal(t, len(o.asked("PUT")), 0, "something was sent")
		})
	}
}
