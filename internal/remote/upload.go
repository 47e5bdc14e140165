package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxRestarts bounds how often an upload begins again.
const maxRestarts = 2

// errSessionGone marks the refusal of an upload whose session is gone.
var errSessionGone = errors.New("the registry has lost the upload")

// upload brings a blob into the repository, and returns the source it was
// mounted from, or else nothing. An upload that the registry has lost begins
// again.
func (p *pusher) upload(ctx context.Context, d ocispec.Descriptor) (mountedFrom string, err error) {
	blob, err := p.session.client.options.Blobs.Content(p.session.request.Pin).ReaderAt(ctx, d)
	if err != nil {
		return "", &StoreError{Err: err}
	}
	defer blob.Close()
	response, mountedFrom := p.mount(ctx, d)
	if mountedFrom != "" {
		return mountedFrom, nil
	}
	for restarts := 0; ; restarts++ {
		if response == nil {
			if response, err = p.begin(ctx, call{}); err != nil {
				return "", err
			}
		}
		u := &upload{pusher: p, blob: d, content: blob}
		err = u.send(ctx, response)
		if !errors.Is(err, errSessionGone) || restarts >= maxRestarts {
			return "", err
		}
		response = nil
	}
}

// begin begins an upload.
func (p *pusher) begin(ctx context.Context, c call) (*http.Response, error) {
	c.method, c.below = http.MethodPost, "blobs/uploads/"
	response, err := p.do(ctx, c)
	if err == nil {
		discard(response)
	}
	return response, err
}

// mount asks for a blob of other repositories. It returns the one it was
// mounted from, or an upload that the registry has begun instead. Registries
// refuse mounts in many ways, none of which is an error, as an upload remains:
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#mounting-a-blob-from-another-repository
func (p *pusher) mount(ctx context.Context, d ocispec.Descriptor) (begun *http.Response, from string) {
	for _, source := range p.sources {
		query := url.Values{"mount": {d.Digest.String()}, "from": {source}}
		response, err := p.begin(ctx, call{query: query, sources: []string{source}})
		switch {
		case err != nil:
		case response.StatusCode == http.StatusCreated && p.checkStored(response, d) == nil:
			return nil, source
		case response.StatusCode == http.StatusAccepted:
			begun = response
		}
	}
	return begun, ""
}

// upload is a session of a registry for one blob.
type upload struct {
	*pusher
	blob    ocispec.Descriptor
	content content.ReaderAt
	next    *url.URL // where the session continues
}

// send sends the blob after the response that began the upload: at once, or in
// chunks where the registry wants them:
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-blobs
func (u *upload) send(ctx context.Context, begun *http.Response) error {
	if err := u.follow(begun); err != nil {
		return err
	}
	if least, err := strconv.ParseInt(begun.Header.Get("OCI-Chunk-Min-Length"), 10, 64); err == nil && least > 0 {
		return u.chunks(ctx, max(least, u.session.client.options.ChunkBytes))
	}
	return u.commit(ctx, 0)
}

// follow sets where the session continues after a response.
func (u *upload) follow(response *http.Response) error {
	location := response.Header.Get("Location")
	from := response.Request.URL
	if location == "" {
		return &ProtocolError{Host: from.Host, Why: "it does not say where to upload to"}
	}
	next, err := resolveLocation(from, location)
	if err != nil {
		return err
	}
	if err := checkStep(from, next, u.insecure); err != nil {
		return err
	}
	u.next = next
	return nil
}

// chunks sends the blob in chunks of a size, of which the last may be smaller.
func (u *upload) chunks(ctx context.Context, size int64) error {
	for offset := int64(0); offset < u.blob.Size; offset += size {
		end := min(offset+size, u.blob.Size)
		response, err := u.part(ctx, http.MethodPatch, u.next, offset, end)
		if err != nil {
			return err
		}
		if err := u.follow(response); err != nil {
			return err
		}
	}
	return u.commit(ctx, u.blob.Size)
}

// commit sends the rest of the blob from offset on, and its digest.
func (u *upload) commit(ctx context.Context, offset int64) error {
	target := *u.next
	// What else is there is the registry's own, and stays as it is.
	if target.RawQuery != "" {
		target.RawQuery += "&"
	}
	target.RawQuery += "digest=" + url.QueryEscape(u.blob.Digest.String())
	response, err := u.part(ctx, http.MethodPut, &target, offset, u.blob.Size)
	if err != nil {
		return err
	}
	return u.checkStored(response, u.blob)
}

// part sends a part of the blob. Registries answer with several statuses of
// success, 202 and 204 among them.
func (u *upload) part(ctx context.Context, method string, target *url.URL, offset, end int64) (*http.Response, error) {
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	if method == http.MethodPatch {
		header.Set("Content-Range", fmt.Sprintf("%d-%d", offset, end-1))
	}
	response, err := u.do(ctx, call{
		method: method,
		target: target,
		header: header,
		body:   func() io.ReadCloser { return u.open(offset, end) },
		size:   end - offset,
	})
	if status := statusOf(err); status != nil && u.hasLostSession(status) {
		return nil, fmt.Errorf("%w: %w", errSessionGone, err)
	}
	if err != nil {
		return nil, err
	}
	discard(response)
	return response, nil
}

func (u *upload) hasLostSession(status *statusError) bool {
	return status.status == http.StatusNotFound || status.status == http.StatusRequestedRangeNotSatisfiable
}

// open reads a part of the blob, and tells how much of it was sent.
func (u *upload) open(offset, end int64) io.ReadCloser {
	m := &meter{out: u.session.request.Progress, id: short(u.blob), action: "Pushing", current: offset, told: offset, total: u.blob.Size}
	return io.NopCloser(io.TeeReader(io.NewSectionReader(u.content, offset, end-offset), m))
}

// opens returns what opens a body that is in memory.
func opens(data []byte) func() io.ReadCloser {
	return func() io.ReadCloser { return io.NopCloser(bytes.NewReader(data)) }
}
