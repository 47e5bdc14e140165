// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/distribution/reference"
	"github.com/docker/docker/pkg/progress"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// pusher sends blobs and a manifest to a registry.
type pusher struct {
	*endpoint
	sources []string // repositories that blobs can be mounted from
}

// sendAll sends blobs, several at a time. The first error ends the others.
func (p *pusher) sendAll(ctx context.Context, blobs []ocispec.Descriptor) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan ocispec.Descriptor, len(blobs))
	for _, blob := range blobs {
		queue <- blob
	}
	close(queue)
	var workers sync.WaitGroup
	for range min(len(blobs), p.session.client.options.Transfers) {
		workers.Go(func() {
			for blob := range queue {
				if err := p.sendBlob(ctx, blob); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// sendBlob adds a blob to the repository, unless it is there: by a mount from
// another repository, or by an upload.
func (p *pusher) sendBlob(ctx context.Context, d ocispec.Descriptor) error {
	return p.session.client.options.persist(ctx, func() error {
		has, err := p.has(ctx, d)
		if err != nil {
			return err
		}
		if has {
			p.report(d, "Layer already exists")
			return nil
		}
		from, err := p.upload(ctx, d)
		switch {
		case err != nil:
			return err
		case from != "":
			p.report(d, fmt.Sprintf("Mounted from %s/%s", reference.Domain(p.session.request.Reference), from))
		default:
			p.report(d, "Pushed")
		}
		return nil
	})
}

func (p *pusher) report(d ocispec.Descriptor, what string) {
	progress.Update(p.session.request.Progress, short(d), what)
}

// has reports whether the repository has a blob.
func (p *pusher) has(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	response, err := p.do(ctx, call{method: http.MethodHead, below: "blobs/" + d.Digest.String()})
	if saysNo(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	discard(response)
	return true, nil
}

// saysNo reports whether the answer to a HEAD means that the registry lacks the
// content, does not support HEAD, or gives the account no right to pull. Such an
// account may have the right to push; the upload finds out.
func saysNo(err error) bool {
	status := statusOf(err)
	if status == nil {
		return false
	}
	switch status.status {
	case http.StatusNotFound, http.StatusUnauthorized, http.StatusForbidden:
		return true
	}
	return status.isUnknownMethod()
}

// sendManifest sends a manifest to a path, unless the registry has it there.
func (p *pusher) sendManifest(ctx context.Context, d ocispec.Descriptor, path string) error {
	return p.session.client.options.persist(ctx, func() error {
		has, err := p.hasManifest(ctx, d, path)
		if has || err != nil {
			return err
		}
		return p.putManifest(ctx, d, path)
	})
}

func (p *pusher) hasManifest(ctx context.Context, d ocispec.Descriptor, path string) (bool, error) {
	response, err := p.do(ctx, call{method: http.MethodHead, below: path, header: http.Header{"Accept": {d.MediaType, "*/*"}}})
	if saysNo(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	discard(response)
	return digest.Digest(response.Header.Get("Docker-Content-Digest")) == d.Digest, nil
}

func (p *pusher) putManifest(ctx context.Context, d ocispec.Descriptor, path string) error {
	data, err := p.session.client.options.Blobs.ReadAll(ctx, d.Digest, d.Size)
	if err != nil {
		return &StoreError{Err: err}
	}
	response, err := p.do(ctx, call{
		method: http.MethodPut,
		below:  path,
		header: http.Header{"Content-Type": {d.MediaType}},
		body:   opens(data),
		size:   d.Size,
	})
	if err != nil {
		return err
	}
	discard(response)
	return p.checkStored(response, d)
}

// manifestPath returns the path of the manifest: its tag, or its digest if the
// reference has no tag or another digest.
func (p *pusher) manifestPath(d ocispec.Descriptor) string {
	request := p.session.request
	if id := request.digest(); request.tag() != "" && (id == "" || id == d.Digest) {
		return "manifests/" + request.tag()
	}
	return "manifests/" + d.Digest.String()
}

// checkStored refuses the answer of a registry that stored other content.
func (p *pusher) checkStored(response *http.Response, d ocispec.Descriptor) error {
	stored := digest.Digest(response.Header.Get("Docker-Content-Digest"))
	if stored.Validate() == nil && stored.Algorithm() == d.Digest.Algorithm() && stored != d.Digest {
		return &ProtocolError{Host: response.Request.URL.Host, Why: fmt.Sprintf("it stored %s instead of %s", stored, d.Digest)}
	}
	return nil
}
