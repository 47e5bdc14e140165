package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/pkg/progress"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/blobs"
)

const (
	copyBytes = 128 << 10
	// maxAttempts bounds the requests for one blob, also if each brings a
	// little of it.
	maxAttempts = 100
)

// fetch brings a blob into the store, or what is missing of it, and tells out
// how far it is. Begun is told of the incoming blob if it can be read while it
// comes: what an earlier operation left of it is not verified yet, and might be
// refused in the end.
func (s *session) fetch(ctx context.Context, d ocispec.Descriptor, out progress.Output, begun func(*blobs.Incoming)) error {
	in, err := s.client.options.Blobs.Incoming(ctx, s.request.Pin, blobs.Blob{Digest: d.Digest, Size: d.Size})
	if errdefs.IsAlreadyExists(err) {
		progress.Update(out, short(d), "Already exists")
		return nil
	}
	var described *blobs.DescriptorError
	if errors.As(err, &described) {
		return described
	}
	if err != nil {
		return &StoreError{Err: err}
	}
	if in.Resumed == 0 {
		begun(in)
	}
	if err := s.receive(ctx, in, d, out); err != nil {
		// Readers are told the same as the caller, whoever comes first.
		err = s.explain(ctx, "pull", err)
		in.Fail(err)
		return err
	}
	progress.Update(out, short(d), "Verifying Checksum")
	err = in.Commit(ctx)
	var wrong *blobs.WrongContentError
	switch {
	case errors.As(err, &wrong) && in.Resumed > 0:
		return s.fetch(ctx, d, out, begun)
	case errors.As(err, &wrong):
		return wrong
	case err != nil:
		return &StoreError{Err: err}
	}
	progress.Update(out, short(d), "Download complete")
	return nil
}

// receive transfers a blob, and goes on where it was when a connection breaks.
// It gives up when several attempts in a row have brought nothing.
func (s *session) receive(ctx context.Context, in *blobs.Incoming, d ocispec.Descriptor, out progress.Output) error {
	fetcher, err := s.resolver.Fetcher(ctx, s.name())
	if err != nil {
		return err
	}
	failures := 0
	for range maxAttempts {
		before := in.Arrived()
		if err = s.transfer(ctx, fetcher, in, d, out); err == nil {
			return nil
		}
		progressed := in.Arrived() > before
		if errors.Is(err, errShort) && !progressed {
			return nil // There is no more; who verifies it will say so.
		}
		if failures++; progressed {
			failures = 1
		}
		if ctx.Err() != nil || !isTemporary(err) || failures > maxRetries {
			return err
		}
		if pauseErr := pause(ctx, backoff(s.client.options.RetryWait, failures-1)); pauseErr != nil {
			return pauseErr
		}
	}
	return err
}

// errShort tells that a registry ended a blob before its size was reached.
var errShort = errors.New("the registry sent less than the blob's size")

// transfer is one attempt at what is missing of a blob.
func (s *session) transfer(ctx context.Context, fetcher remotes.Fetcher, in *blobs.Incoming, d ocispec.Descriptor, out progress.Output) error {
	missing := d.Size - in.Arrived()
	if missing <= 0 {
		return nil
	}
	body, err := fetcher.Fetch(ctx, d)
	if err != nil {
		return err
	}
	defer body.Close()
	seeker, ok := body.(io.Seeker)
	if !ok {
		return errors.New("the registry client can't resume")
	}
	if _, err := seeker.Seek(in.Arrived(), io.SeekStart); err != nil {
		return err
	}
	meter := &meter{out: out, id: short(d), action: "Downloading", current: in.Arrived(), total: d.Size}
	// One byte more than is missing shows that it is another blob.
	n, err := copyTo(in, io.LimitReader(body, missing+1), meter)
	if status := statusOf(err); status != nil && status.status == http.StatusRequestedRangeNotSatisfiable {
		return errShort
	}
	if err == nil && n < missing {
		return errShort
	}
	return err
}

// copyTo copies like io.Copy, and tells whose fault an error is.
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

// errConnection marks what broke while a body was read.
var errConnection = errors.New("connection broke")

// isTemporary tells failures that another attempt may not meet.
func isTemporary(err error) bool {
	if status := statusOf(err); status != nil {
		return status.status >= http.StatusInternalServerError
	}
	var store *StoreError
	var large *TooLargeError
	var certificate *tls.CertificateVerificationError
	return !errors.As(err, &store) && !errors.As(err, &large) && !errors.As(err, &certificate) &&
		!errdefs.IsNotFound(err) && !errors.Is(err, docker.ErrInvalidAuthorization)
}
