// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"mime"
	"net/http"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/blobs"
)

// manifestTypes are the media types that a reference can resolve to.
var manifestTypes = []string{
	images.MediaTypeDockerSchema2Manifest,
	images.MediaTypeDockerSchema2ManifestList,
	ocispec.MediaTypeImageManifest,
	ocispec.MediaTypeImageIndex,
	"*/*",
}

// lookUp returns the descriptor that the reference resolves to.
func (s *session) lookUp(ctx context.Context) (ocispec.Descriptor, error) {
	return ask(ctx, s.endpoints, func(e *endpoint) (ocispec.Descriptor, error) { return e.lookUp(ctx) })
}

func (e *endpoint) lookUp(ctx context.Context) (ocispec.Descriptor, error) {
	target, err := e.head(ctx)
	if status := statusOf(err); status != nil && status.isUnknownMethod() {
		return e.read(ctx)
	}
	if err == nil && (target.Digest == "" || target.Size < 0) {
		return e.read(ctx)
	}
	return target, err
}

// head asks for the digest and the size of the reference's manifest. They are
// empty and negative if the registry does not send them.
func (e *endpoint) head(ctx context.Context) (ocispec.Descriptor, error) {
	response, err := e.manifest(ctx, http.MethodHead)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer response.Body.Close()
	target := ocispec.Descriptor{
		MediaType: mediaTypeOf(response),
		Digest:    e.session.request.digest(),
		Size:      response.ContentLength,
	}
	// Some registries answer HEAD with the length of the empty body.
	if encodingOf(response) != "" || target.Size == 0 {
		target.Size = -1
	}
	if target.Digest == "" {
		target.Digest = digest.Digest(response.Header.Get("Docker-Content-Digest"))
	}
	if target.Digest.Validate() != nil {
		target.Digest = ""
	}
	return target, nil
}

// read downloads the reference's manifest into the store, for registries that do
// not send its digest and size.
func (e *endpoint) read(ctx context.Context) (ocispec.Descriptor, error) {
	options := e.session.client.options
	response, err := e.manifest(ctx, http.MethodGet)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer response.Body.Close()
	small := options.manifest()
	data, err := readDocument(response, small.max, &TooLargeError{What: small.what, Limit: small.limit, Max: small.max})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	target := ocispec.Descriptor{MediaType: mediaTypeOf(response), Digest: digest.FromBytes(data), Size: int64(len(data))}
	if want := e.session.request.digest(); want != "" && want != target.Digest {
		got := blobs.Blob{Digest: target.Digest, Size: target.Size}
		return ocispec.Descriptor{}, &blobs.WrongContentError{Want: blobs.Blob{Digest: want, Size: target.Size}, Got: got}
	}
	if _, err := options.Blobs.Put(ctx, e.session.request.Pin, data); err != nil {
		return ocispec.Descriptor{}, &StoreError{Err: err}
	}
	return target, nil
}

// manifest requests the reference's manifest.
func (e *endpoint) manifest(ctx context.Context, method string) (*http.Response, error) {
	return e.do(ctx, call{method: method, below: "manifests/" + e.session.request.version(), header: http.Header{"Accept": manifestTypes}})
}

// mediaTypeOf returns the type of a response without its parameters.
func mediaTypeOf(response *http.Response) string {
	mediaType, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return ""
	}
	return mediaType
}

// digest returns the digest of the reference, or empty.
func (r Request) digest() digest.Digest {
	if canonical, ok := r.Reference.(reference.Canonical); ok {
		return canonical.Digest()
	}
	return ""
}

// version returns the digest of the reference, or else its tag.
func (r Request) version() string {
	if id := r.digest(); id != "" {
		return id.String()
	}
	return r.tag()
}

func (r Request) tag() string {
	if tagged, ok := r.Reference.(reference.Tagged); ok {
		return tagged.Tag()
	}
	return ""
}
