// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// attestationKey and attestationValue mark manifests in an index that describe
// others, by the convention of BuildKit:
// https://github.com/moby/buildkit/blob/v0.23.2/docs/attestations/attestation-storage.md
const (
	attestationKey   = "vnd.docker.reference.type"
	attestationValue = "attestation-manifest"
)

// PlatformError reports a multi-arch plugin without a variant for this host.
type PlatformError struct {
	Want      string
	Available []string
}

func (e *PlatformError) Error() string {
	if len(e.Available) == 0 {
		return plaintext.Sprintf("no variant for platform %s: the index is empty", e.Want)
	}
	return plaintext.Sprintf("no variant for platform %s: there are %s", e.Want, shorten(strings.Join(e.Available, ", ")))
}

func (e *PlatformError) whole() string { return strings.Join(e.Available, ", ") }

// NotFound marks the error's class.
func (*PlatformError) NotFound() {}

// Choose returns the variant of an index that suits a platform best. A variant
// without a platform suits if it is the only one.
func Choose(manifests []ocispec.Descriptor, want ocispec.Platform) (ocispec.Descriptor, error) {
	candidates := slices.DeleteFunc(slices.Clone(manifests), isAttestation)
	if len(candidates) == 1 && candidates[0].Platform == nil {
		return candidates[0], nil
	}
	matcher := platforms.Only(want)
	missing := &PlatformError{Want: platforms.FormatAll(want)}
	var best *ocispec.Descriptor
	for i, candidate := range candidates {
		if candidate.Platform == nil {
			continue
		}
		missing.Available = append(missing.Available, platforms.FormatAll(*candidate.Platform))
		if !matcher.Match(*candidate.Platform) {
			continue
		}
		if best == nil || matcher.Less(*candidate.Platform, *best.Platform) {
			best = &candidates[i]
		}
	}
	if best == nil {
		return ocispec.Descriptor{}, missing
	}
	return *best, nil
}

func isAttestation(d ocispec.Descriptor) bool {
	return d.Annotations[attestationKey] == attestationValue ||
		d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown"
}
