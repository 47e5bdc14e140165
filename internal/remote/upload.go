// SPDX-License-Identifier: Apache-2.0

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
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxRestarts bounds how often an upload begins again.
const maxRestarts = 2

// errSessionGone marks a refusal because the upload's session is gone.
var errSessionGone = errors.New("the registry has lost the upload")

// upload adds a blob to the repository, and returns the source that it was mounted
// from, or empty. It restarts an upload that the registry has lost.
func (p *pusher) upload(ctx context.Context, d ocispec.Descriptor) (mountedFrom string, err error) {
	blob, err := p.session.client.options.Blobs.Content(p.session.request.Pin).ReaderAt(ctx, d)
	if err != nil {
		return "", &StoreError{Err: err}
	}
	defer blob.Close()
	stored := newOutgoing(blob, d)
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
		u := &upload{pusher: p, blob: d, content: stored}
		err = u.send(ctx, response)
		if !errors.Is(err, errSessionGone) || restarts >= maxRestarts {
			return "", err
		}
		response = nil
	}
}

// begin starts an upload.
func (p *pusher) begin(ctx context.Context, c call) (*http.Response, error) {
	c.method, c.below = http.MethodPost, "blobs/uploads/"
	response, err := p.do(ctx, c)
	if err == nil {
		discard(response)
	}
	return response, err
}

// mount asks the registry to mount a blob from another repository. It returns that
// repository, or an upload that the registry has started instead. Registries
// refuse mounts in many ways; none is an error, because an upload remains:
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
	content *outgoing
	next    *url.URL // the address of the next request
}

// send sends the blob after the response that started the upload: in one request,
// or in chunks if the registry asks for them:
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

// follow sets the address of the next request from a response.
func (u *upload) follow(response *http.Response) error {
	location := response.Header.Get("Location")
	from := response.Request.URL
	if location == "" {
		return &ProtocolError{Host: from.Host, Why: "it does not name an address for the upload"}
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

// chunks sends the blob in chunks of size; the last may be smaller. A registry that
// keeps a part of a chunk gets the rest with the next one.
func (u *upload) chunks(ctx context.Context, size int64) error {
	small := 0 // chunks in a row that were kept by less than half
	for offset := int64(0); offset < u.blob.Size; {
		end := min(offset+size, u.blob.Size)
		response, err := u.part(ctx, http.MethodPatch, u.next, offset, end)
		if err != nil {
			return err
		}
		if err := u.follow(response); err != nil {
			return err
		}
		kept := keptOf(response, offset, end)
		small++
		if kept-offset >= (end-offset)/2 {
			small = 0
		}
		if small > maxRetries {
			return &ProtocolError{Host: response.Request.URL.Host, Why: fmt.Sprintf("it keeps less than half of each chunk of %d bytes", end-offset)}
		}
		offset = kept
	}
	return u.commit(ctx, u.blob.Size)
}

// keptOf returns the end of what a registry has of a blob, after a chunk from offset to
// end: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-a-blob-in-chunks
// A Range that does not end in the chunk is ignored. If it is true, the registry refuses
// the next chunk, and the upload begins again.
func keptOf(response *http.Response, offset, end int64) int64 {
	_, last, _ := strings.Cut(response.Header.Get("Range"), "-")
	if last, err := strconv.ParseInt(last, 10, 64); err == nil && last >= offset && last < end {
		return last + 1
	}
	return end
}

// commit sends the rest of the blob from offset on, and its digest.
func (u *upload) commit(ctx context.Context, offset int64) error {
	target := *u.next
	// The registry's own parameters stay unchanged.
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
	if broken := u.content.failure(); err != nil && broken != nil {
		return nil, broken
	}
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

// open returns a reader of a part of the blob, which reports its progress.
func (u *upload) open(offset, end int64) io.ReadCloser {
	m := &meter{out: u.session.request.Progress, id: short(u.blob), action: "Pushing", current: offset, reported: offset, total: u.blob.Size}
	return io.NopCloser(io.TeeReader(io.NewSectionReader(u.content, offset, end-offset), m))
}

// opens returns a function that opens a body in memory.
func opens(data []byte) func() io.ReadCloser {
	return func() io.ReadCloser { return io.NopCloser(bytes.NewReader(data)) }
}
