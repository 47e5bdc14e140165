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

// Failure is what all refusals of registries have in common.
type Failure struct {
	Op        string // pull or push
	Reference string
	Host      string // who refused
	Err       error
}

func (f *Failure) Error() string {
	return plaintext.Sprintf("%s %s: %s: %s", f.Op, f.Reference, f.Host, withoutQueries(f.Err.Error()))
}

func (f *Failure) Unwrap() error { return f.Err }

// explained marks what [session.explain] has made.
func (f *Failure) explained() {}

// UnauthorizedError tells that the registry does not know the user, or not
// well enough (401). Registries also answer so when there is no such plugin.
type UnauthorizedError struct{ Failure }

// Unauthorized marks the error's class.
func (*UnauthorizedError) Unauthorized() {}

// ForbiddenError tells that the user may not do this (403).
type ForbiddenError struct{ Failure }

// Forbidden marks the error's class.
func (*ForbiddenError) Forbidden() {}

// NotFoundError tells that the registry has no such plugin (404).
type NotFoundError struct{ Failure }

// NotFound marks the error's class.
func (*NotFoundError) NotFound() {}

// RateLimitError tells that the registry asks for more patience than the
// client has (429).
type RateLimitError struct {
	Failure
	RetryAfter time.Duration
}

// Unavailable marks the error's class.
func (*RateLimitError) Unavailable() {}

// UnavailableError tells that the registry has failed (5xx), can't be reached,
// or went silent.
type UnavailableError struct{ Failure }

// Unavailable marks the error's class.
func (*UnavailableError) Unavailable() {}

// RefusedError is any other answer that a registry should not give.
type RefusedError struct{ Failure }

// System marks the error's class.
func (*RefusedError) System() {}

// StalledError reports a registry, or a server that it redirects to, that is
// too slow.
type StalledError struct {
	Host    string
	Timeout time.Duration // how long it was waited for
	What    string        // the server did in that time, as "sent nothing"

	final bool // retries make it worse
}

func (e *StalledError) Error() string {
	return plaintext.Sprintf("%s %s for %s", e.Host, e.What, e.Timeout)
}

// Unavailable marks the error's class.
func (*StalledError) Unavailable() {}

// TooLargeError refuses a manifest, a config or another answer that would have
// to fit into memory.
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

// ProtocolError refuses an answer that breaks the protocol, and would do harm
// or mean nothing. Class System.
type ProtocolError struct {
	Host string
	Why  string
}

func (e *ProtocolError) Error() string {
	return plaintext.Sprintf("answer of %s is refused: %s", e.Host, e.Why)
}

// System marks the error's class.
func (*ProtocolError) System() {}

// MissingError tells that the store lacks what a push would have to send.
type MissingError struct {
	What   string
	Digest digest.Digest
}

func (e *MissingError) Error() string {
	if e.Digest == "" {
		return plaintext.Quote(e.What + " is not kept here")
	}
	return plaintext.Sprintf("%s %s is not kept here", e.What, e.Digest)
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

// explain gives an error its class and says who refused what. Errors that have
// a class, and those of ctx, stay what they are. The first row that knows an
// error decides.
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
	if isOurs(err) && !repeats(s.secrets(), err) {
		return &operationError{op, s.name(), err}
	}
	failure := Failure{Op: op, Reference: s.name(), Host: s.registry(), Err: discreetError(s.secrets(), err)}
	for _, row := range explanations {
		if explained := row(s, failure, err); explained != nil {
			return explained
		}
	}
	return &RefusedError{failure}
}

// explanations make errors that users know of those of requests.
var explanations = []func(s *session, failure Failure, err error) error{
	func(s *session, failure Failure, err error) error {
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
	func(s *session, failure Failure, err error) error {
		stalled, ok := find[*StalledError](err)
		if !ok {
			return nil
		}
		failure.Host, failure.Err = discreet(s.secrets(), stalled.Host), discreetError(s.secrets(), stalled)
		return &UnavailableError{failure}
	},
	func(s *session, failure Failure, err error) error {
		connection, ok := find[*connectionError](err)
		if !ok {
			return nil
		}
		failure.Host, failure.Err = discreet(s.secrets(), connection.host), discreetError(s.secrets(), connection.err)
		return &UnavailableError{failure}
	},
	func(_ *session, failure Failure, err error) error {
		if !errors.Is(err, errConnection) && !errors.Is(err, errEnded) {
			return nil
		}
		return &UnavailableError{failure}
	},
}

// explained marks errors that say who refused what.
type explained interface {
	error
	explained()
}

// operationError says what an error that has its class kept from happening.
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

// registry is the host that refuses when nobody else is known to.
func (s *session) registry() string { return registryName(s.name()) }

func classify(failure Failure, status *statusError) error {
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

// statusOf finds the response that an error is about.
func statusOf(err error) *statusError {
	status, _ := find[*statusError](err)
	return status
}

// isOurs reports errors that have their class and their text already.
func isOurs(err error) bool {
	_, ours := find[interface {
		error
		hasClass()
	}](err)
	_, described := find[*blobs.DescriptorError](err)
	return ours || described || errdefs.IsDataLoss(err)
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

// queries may hold signatures that are as good as credentials.
var queries = regexp.MustCompile(`\?[^\s"']+`)

func withoutQueries(text string) string { return queries.ReplaceAllString(text, "?...") }
