// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

// RequestError holds the fields that all refusals of registries share.
type RequestError struct {
	Op        string // pull or push
	Reference string
	Host      string // the host that refused
	Err       error
}

func (f *RequestError) Error() string {
	return plaintext.Sprintf("%s %s: %s: %s", f.Op, f.Reference, f.Host, withoutQueries(f.Err.Error()))
}

func (f *RequestError) Unwrap() error { return f.Err }

// explained marks errors that [session.explain] has made.
func (f *RequestError) explained() {}

// UnauthorizedError reports that the registry did not accept the user's account
// (401). Registries also answer 401 when the plugin does not exist.
type UnauthorizedError struct{ RequestError }

// Unauthorized marks the error's class.
func (*UnauthorizedError) Unauthorized() {}

// ForbiddenError reports that the user lacks the right to the operation (403).
type ForbiddenError struct{ RequestError }

// Forbidden marks the error's class.
func (*ForbiddenError) Forbidden() {}

// NotFoundError reports that the registry has no such plugin (404).
type NotFoundError struct{ RequestError }

// NotFound marks the error's class.
func (*NotFoundError) NotFound() {}

// RateLimitError reports that the registry limits the rate of requests (429), and
// that retries have ended or its Retry-After is longer than MaxRetryAfter.
type RateLimitError struct {
	RequestError
	RetryAfter time.Duration
}

// Unavailable marks the error's class.
func (*RateLimitError) Unavailable() {}

// UnavailableError reports that the registry failed (5xx), can't be reached, or
// stopped answering.
type UnavailableError struct{ RequestError }

// Unavailable marks the error's class.
func (*UnavailableError) Unavailable() {}

// RefusedError reports any other failure of a registry.
type RefusedError struct{ RequestError }

// System marks the error's class.
func (*RefusedError) System() {}

// StalledError reports a registry, or a server that it redirects to, that is
// too slow.
type StalledError struct {
	Host    string
	Timeout time.Duration // how long the client waited
	What    string        // what the server did in that time, such as "sent nothing"

	final bool // retries make it worse
}

func (e *StalledError) Error() string {
	return plaintext.Sprintf("%s %s for %s", e.Host, e.What, e.Timeout)
}

// Unavailable marks the error's class.
func (*StalledError) Unavailable() {}

// TooLargeError refuses a manifest, a config or another document above its limit
// in memory.
type TooLargeError struct {
	What  string
	Limit string // the field of Options that bounds it
	Max   int64
}

func (e *TooLargeError) Error() string {
	return plaintext.Sprintf("%s is larger than %d bytes", e.What, e.Max)
}

// InvalidParameter marks the error's class.
func (*TooLargeError) InvalidParameter() {}

// ProtocolError refuses an answer that violates the protocol. Class System.
type ProtocolError struct {
	Host string
	Why  string
}

func (e *ProtocolError) Error() string {
	return plaintext.Sprintf("invalid answer of %s: %s", e.Host, e.Why)
}

// System marks the error's class.
func (*ProtocolError) System() {}

// MissingError reports that the store lacks content that a push has to send.
type MissingError struct {
	What   string
	Digest digest.Digest
}

func (e *MissingError) Error() string {
	if e.Digest == "" {
		return plaintext.Quote(e.What + " is not in the local store")
	}
	return plaintext.Sprintf("%s %s is not in the local store", e.What, e.Digest)
}

// NotFound marks the error's class.
func (*MissingError) NotFound() {}

// StoreError is the failure of the store under an operation.
type StoreError struct {
	Err error
}

func (e *StoreError) Error() string { return plaintext.Sprintf("store content: %v", e.Err) }

func (e *StoreError) Unwrap() error { return e.Err }

// System marks the error's class.
func (*StoreError) System() {}

// explain gives an error its class, and names the operation and the host that
// refused it. Errors that have a class, and those of ctx, keep it. The first row
// of explanations that knows an error decides.
func (s *session) explain(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if _, done := find[explained](err); done {
		return err
	}
	if ctx.Err() != nil {
		return &operationError{op, s.name(), context.Cause(ctx)}
	}
	if isClassified(err) && !repeats(s.secrets(), err) {
		return &operationError{op, s.name(), err}
	}
	failure := RequestError{Op: op, Reference: s.name(), Host: s.registry(), Err: discreetError(s.secrets(), err)}
	for _, row := range explanations {
		if explained := row(s, failure, err); explained != nil {
			return explained
		}
	}
	return &RefusedError{failure}
}

// explanations turn errors of requests into exported errors.
var explanations = []func(s *session, failure RequestError, err error) error{
	func(s *session, failure RequestError, err error) error {
		status := statusOf(err)
		if status == nil {
			return nil
		}
		shown := *status
		shown.message = shorten(discreet(s.secrets(), status.message))
		shown.host = discreet(s.secrets(), status.host)
		failure.Host, failure.Err = shown.host, &shown
		return classify(failure, &shown)
	},
	func(s *session, failure RequestError, err error) error {
		stalled, ok := find[*StalledError](err)
		if !ok {
			return nil
		}
		failure.Host, failure.Err = discreet(s.secrets(), stalled.Host), discreetError(s.secrets(), stalled)
		return &UnavailableError{failure}
	},
	func(s *session, failure RequestError, err error) error {
		connection, ok := find[*connectionError](err)
		if !ok {
			return nil
		}
		failure.Host, failure.Err = discreet(s.secrets(), connection.host), discreetError(s.secrets(), connection.err)
		return &UnavailableError{failure}
	},
	func(_ *session, failure RequestError, err error) error {
		if !errors.Is(err, errConnection) && !errors.Is(err, errEnded) {
			return nil
		}
		return &UnavailableError{failure}
	},
}

// explained marks errors that name the operation and the host.
type explained interface {
	error
	explained()
}

// operationError adds the operation to an error that has a class.
type operationError struct {
	op        string
	reference string
	err       error
}

func (e *operationError) Error() string {
	return plaintext.Sprintf("%s %s: %v", e.op, e.reference, e.err)
}

func (e *operationError) Unwrap() error { return e.err }

func (e *operationError) explained() {}

// registry names the registry, for errors without a known host.
func (s *session) registry() string { return registryName(s.name()) }

func classify(failure RequestError, status *statusError) error {
	switch {
	case status.status == http.StatusUnauthorized:
		return &UnauthorizedError{failure}
	case status.status == http.StatusForbidden:
		return &ForbiddenError{failure}
	case status.status == http.StatusNotFound:
		return &NotFoundError{failure}
	case status.status == http.StatusTooManyRequests:
		return &RateLimitError{failure, status.wait}
	case status.status >= http.StatusInternalServerError:
		return &UnavailableError{failure}
	}
	return &RefusedError{failure}
}

// statusOf returns the response in the tree of err, or nil.
func statusOf(err error) *statusError {
	status, _ := find[*statusError](err)
	return status
}

// isClassified reports whether an error already has its class and its text.
func isClassified(err error) bool {
	_, classified := find[interface {
		error
		hasClass()
	}](err)
	_, described := find[*blobs.DescriptorError](err)
	return classified || described || errdefs.IsDataLoss(err)
}

func (*TooLargeError) hasClass()    {}
func (*UnsupportedError) hasClass() {}
func (*PlatformError) hasClass()    {}
func (*MissingError) hasClass()     {}
func (*StoreError) hasClass()       {}

// find returns the first error of a type in the tree of err.
func find[T error](err error) (T, bool) {
	var found T
	ok := errors.As(err, &found)
	return found, ok
}

// queries can hold signatures, which work like credentials.
var queries = regexp.MustCompile(`\?[^\s"']+`)

func withoutQueries(text string) string { return queries.ReplaceAllString(text, "?...") }
