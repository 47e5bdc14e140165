// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/docker/docker/pkg/progress"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/blobs"
)

const copyBytes = 128 << 10

// download is the state of one blob's transfer.
type download struct {
	session *session
	in      *blobs.Incoming
	blob    ocispec.Descriptor
	out     progress.Output
	// whole is set once a registry has shown that it can't send a part: requests
	// then ask for all of the blob, and skip the part in the store.
	whole bool
	// surplus is set when a registry sent more than the blob's size.
	surplus bool
	// encoding is the Content-Encoding of the last response.
	encoding string
}

// receive transfers a blob, and resumes when a connection breaks. It gives up
// after several attempts in a row below the least rate, measured over the
// attempt's time or one period if that is longer. It does not bound the attempts
// otherwise, because some servers end each answer after a part.
func (d *download) receive(ctx context.Context) error {
	failures, options := 0, d.session.client.options
	for {
		before, began := d.in.Arrived(), time.Now()
		err := d.attempt(ctx)
		if err == nil {
			return nil
		}
		period := max(time.Since(began), options.IdleTimeout)
		if failures++; d.in.Arrived()-before > int64(period.Seconds()*float64(options.MinRate)) {
			failures = 1
		}
		if errors.Is(err, errNoPart) && !d.whole {
			d.whole = true
			continue
		}
		if ctx.Err() != nil || !isTemporary(err) || failures > maxRetries {
			return err
		}
		if err := pause(ctx, backoff(options.RetryWait, failures-1)); err != nil {
			return err
		}
	}
}

// errNoPart reports that a registry can't send exactly the missing part of a
// blob: it refuses the range, or sends another one.
var errNoPart = errors.New("the registry does not send the part of the blob that is missing")

// errEnded reports a body that ended before the blob did.
var errEnded = errors.New("the registry sent less than the blob's size")

// attempt requests the missing part of a blob once.
func (d *download) attempt(ctx context.Context) error {
	missing := d.blob.Size - d.in.Arrived()
	if missing == 0 && !d.surplus {
		return nil
	}
	body, err := ask(ctx, d.session.endpoints, func(e *endpoint) (*source, error) { return d.open(ctx, e) })
	if err != nil {
		return err
	}
	defer body.Close()
	meter := &meter{out: d.out, id: short(d.blob), action: "Downloading", current: d.in.Arrived(), total: d.blob.Size}
	n, err := copyTo(d.in, io.LimitReader(body, missing), meter)
	if err != nil {
		body.endpoint.failed(ctx, err)
		return err
	}
	if n < missing {
		return d.ended(n)
	}
	return d.checkEnd(body)
}

// ended returns the error of a body that ends before the blob, after n bytes of
// the missing part. receive then asks for the rest, and later for the whole blob.
func (d *download) ended(n int64) error {
	switch {
	case d.whole:
		return d.wrong(d.in.Arrived())
	case n > 0:
		return errEnded
	}
	return errNoPart
}

// checkEnd refuses a body that is longer than the blob: the first time it asks
// for the whole blob, the second time it fails.
func (d *download) checkEnd(body io.Reader) error {
	// The blob is complete. An error of this read does not matter: the digest
	// decides.
	n, _ := io.ReadFull(body, make([]byte, 1))
	d.surplus = n > 0
	switch {
	case d.surplus && d.whole:
		return d.wrong(d.blob.Size + 1)
	case d.surplus:
		return errNoPart
	}
	return nil
}

// wrong returns the error of a blob with another size than its descriptor.
func (d *download) wrong(size int64) error {
	want := blobs.Blob{Digest: d.blob.Digest, Size: d.blob.Size}
	return d.explainEncoding(&blobs.WrongContentError{Want: want, Got: blobs.Blob{Size: size}})
}

// explainEncoding adds to an error the encoding that may be its cause.
func (d *download) explainEncoding(err error) error {
	if d.encoding == "" {
		return err
	}
	return fmt.Errorf("%w; the registry sent it with the encoding %q, which was not requested", err, d.encoding)
}

// source is a blob's body, from the first missing byte.
type source struct {
	io.ReadCloser
	endpoint *endpoint
}

// open asks an endpoint for a blob.
func (d *download) open(ctx context.Context, e *endpoint) (*source, error) {
	offset := d.in.Arrived()
	c := call{method: http.MethodGet, below: "blobs/" + d.blob.Digest.String(), header: http.Header{"Accept": {d.blob.MediaType, "*/*"}}}
	if images.IsManifestType(d.blob.MediaType) || images.IsIndexType(d.blob.MediaType) {
		c.below = "manifests/" + d.blob.Digest.String()
	}
	part := offset > 0 && !d.whole
	if part {
		c.header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	response, err := e.do(ctx, c)
	if status := statusOf(err); part && status != nil && status.status == http.StatusRequestedRangeNotSatisfiable {
		return nil, errNoPart
	}
	if err != nil {
		return nil, err
	}
	d.encoding = encodingOf(response)
	body := &source{ReadCloser: response.Body, endpoint: e}
	switch {
	case response.StatusCode != http.StatusPartialContent:
		err = d.skip(body, offset)
	case !part && begins(response, 0): // the whole blob, as a part
		err = d.skip(body, offset)
	case !part || !begins(response, offset):
		err = errNoPart
	}
	if err != nil {
		_ = body.Close()
		return nil, err
	}
	return body, nil
}

// begins reports whether a response is the part of a blob from offset on.
func begins(response *http.Response, offset int64) bool {
	return strings.HasPrefix(response.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset))
}

// skip discards the bytes before offset, which the store already has.
func (d *download) skip(body io.Reader, offset int64) error {
	n, err := io.Copy(io.Discard, io.LimitReader(body, offset))
	if err != nil {
		return fmt.Errorf("%w: %w", errConnection, err)
	}
	if n < offset {
		return d.wrong(n)
	}
	return nil
}

// copyTo copies like io.Copy. Its errors distinguish the store from the
// connection.
func copyTo(store io.Writer, body io.Reader, meter *meter) (copied int64, err error) {
	buffer := make([]byte, copyBytes)
	for {
		n, err := body.Read(buffer)
		if _, writeErr := store.Write(buffer[:n]); writeErr != nil {
			return copied, &StoreError{Err: writeErr}
		}
		copied += int64(n)
		meter.add(int64(n))
		if err == io.EOF {
			return copied, nil
		}
		if err != nil {
			return copied, fmt.Errorf("%w: %w", errConnection, err)
		}
	}
}

// errConnection marks an error of reading a body.
var errConnection = errors.New("connection broke")
