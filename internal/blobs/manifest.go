// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// maxManifestBytes is far above what registries accept. They should accept
// manifests of 4 MiB:
// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-manifests
const maxManifestBytes = 16 << 20

// Manifest holds the references of an image manifest or an index.
type Manifest struct {
	Config    named   `json:"config"`
	Layers    []named `json:"layers"`
	Manifests []named `json:"manifests"`
}

type named struct {
	Digest digest.Digest `json:"digest"`
}

// Manifest reads the references of a stored manifest. Content that is not a JSON
// object has no references. The errors are those of [Store.ReadAll]. References that
// can't be read are also an error, because they may name content that is needed.
func (s *Store) Manifest(ctx context.Context, dgst digest.Digest) (Manifest, error) {
	data, err := s.ReadAll(ctx, dgst, maxManifestBytes)
	if err != nil {
		return Manifest{}, err
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(data, &object) != nil {
		return Manifest{}, nil
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return Manifest{}, fmt.Errorf("read references of manifest %s: %w", dgst, err)
	}
	return m, nil
}

// Digests returns the valid digests of all references, config first.
func (m Manifest) Digests() []digest.Digest {
	digests := make([]digest.Digest, 0, 1+len(m.Layers)+len(m.Manifests))
	for _, list := range [][]named{{m.Config}, m.Layers, m.Manifests} {
		for _, one := range list {
			if one.Digest.Validate() == nil {
				digests = append(digests, one.Digest)
			}
		}
	}
	return digests
}
