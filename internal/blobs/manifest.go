package blobs

import (
	"context"
	"encoding/json"

	"github.com/opencontainers/go-digest"
)

// mostManifestBytes is far more than any manifest that a registry accepts: the
// distribution registry's limit is 4 MiB.
const mostManifestBytes = 16 << 20

// Manifest is what a manifest or an index names.
type Manifest struct {
	Config    named   `json:"config"`
	Layers    []named `json:"layers"`
	Manifests []named `json:"manifests"`
}

type named struct {
	Digest digest.Digest `json:"digest"`
}

// Manifest reads what a stored manifest names. Content that is sound and no
// manifest names nothing. The errors are those of [Store.ReadAll].
func (s *Store) Manifest(ctx context.Context, dgst digest.Digest) (Manifest, error) {
	data, err := s.ReadAll(ctx, dgst, mostManifestBytes)
	if err != nil {
		return Manifest{}, err
	}
	var m Manifest
	if json.Unmarshal(data, &m) != nil {
		return Manifest{}, nil
	}
	return m, nil
}

// Digests are all that the manifest names, config first.
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
