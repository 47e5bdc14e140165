package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/blobs"
)

// Failure is what all refusals of registries have in common.
type Failure struct {
	Op        string // pull or push
	Reference string
	Host      string // who refused
	Err       error
}

func (f *Failure) Error() string {
	return fmt.Sprintf("%s %s: %s: %s", f.Op, f.Reference, f.Host, withoutQueries(f.Err.Error()))
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

// StalledError tells that a registry let the idle timeout pass without a byte.
type StalledError struct {
	Host    string
	Timeout time.Duration
}

func (e *StalledError) Error() string {
	return fmt.Sprintf("%s sent nothing for %s", e.Host, e.Timeout)
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
	return fmt.Sprintf("%s is larger than %d bytes", e.What, e.Max)
}

// InvalidParameter marks the error's class.
func (*TooLargeError) InvalidParameter() {}

// MissingError tells that the store lacks what a push would have to send.
type MissingError struct {
	What   string
	Digest digest.Digest
}

func (e *MissingError) Error() string {
	if e.Digest == "" {
		return e.What + " is not kept here"
	}
	return fmt.Sprintf("%s %s is not kept here", e.What, e.Digest)
}

// NotFound marks the error's class.
func (*MissingError) NotFound() {}

// StoreError is the failure of the store under an operation.
type StoreError struct {
	Err error
}

func (e *StoreError) Error() string { return "store content: " + e.Err.Error() }

func (e *StoreError) Unwrap() error { return e.Err }

// System marks the error's class.
func (*StoreError) System() {}

// statusError is a response that ended a request.
type statusError struct {
	host    string
	status  int
	message string
	wait    time.Duration
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("%d %s", e.status, http.StatusText(e.status))
	if e.message != "" {
		text += ": " + e.message
	}
	if e.status == http.StatusTooManyRequests {
		text += fmt.Sprintf(" (to be retried after %s)", e.wait)
	}
	return text
}

// explain gives an error of containerd's client its class, and says who refused
// what. Errors that have a class, and those of ctx, stay what they are.
func (s *session) explain(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	var explained interface{ explained() }
	if errors.As(err, &explained) {
		return err
	}
	if ctx.Err() != nil {
		return &operationError{op, s.name(), context.Cause(ctx)}
	}
	failure := Failure{Op: op, Reference: s.name(), Host: s.registry(), Err: discreetError(s.request.Auth, err)}
	if status := statusOf(err); status != nil {
		shown := *status
		shown.message = discreet(s.request.Auth, status.message)
		failure.Host, failure.Err = status.host, &shown
		return classify(failure, &shown)
	}
	var stalled *StalledError
	var network *url.Error
	switch {
	case errors.As(err, &stalled):
		failure.Host, failure.Err = stalled.Host, stalled
		return &UnavailableError{failure}
	case errors.Is(err, docker.ErrInvalidAuthorization):
		return &UnauthorizedError{failure}
	case isOurs(err):
		return &operationError{op, s.name(), err}
	case errdefs.IsNotImplemented(err):
		// That is all that containerd's client does not know any more.
		unsupported := &UnsupportedError{What: "manifest", Type: images.MediaTypeDockerSchema1Manifest}
		return &operationError{op, s.name(), unsupported}
	case errdefs.IsNotFound(err):
		failure.Err = errors.New("not found")
		return &NotFoundError{failure}
	case errors.As(err, &network):
		failure.Host, failure.Err = hostOf(network.URL), discreetError(s.request.Auth, network.Err)
		return &UnavailableError{failure}
	case errors.Is(err, errConnection), errors.Is(err, io.ErrUnexpectedEOF):
		return &UnavailableError{failure}
	}
	return &RefusedError{failure}
}

// operationError says what an error that has its class kept from happening.
type operationError struct {
	op        string
	reference string
	err       error
}

func (e *operationError) Error() string { return fmt.Sprintf("%s %s: %v", e.op, e.reference, e.err) }

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

// statusOf finds the response in an error, as our transport or as containerd's
// client tells it.
func statusOf(err error) *statusError {
	var status *statusError
	if errors.As(err, &status) {
		return status
	}
	var unexpected remoteerrors.ErrUnexpectedStatus
	if errors.As(err, &unexpected) {
		return &statusError{
			host:    hostOf(unexpected.RequestURL),
			status:  unexpected.StatusCode,
			message: registryMessage(unexpected.Body),
		}
	}
	return nil
}

// isOurs tells errors that have their class and their text already.
func isOurs(err error) bool {
	var large *TooLargeError
	var unsupported *UnsupportedError
	var platform *PlatformError
	var missing *MissingError
	var store *StoreError
	var described *blobs.DescriptorError
	return errors.As(err, &described) || errors.As(err, &large) || errors.As(err, &unsupported) || errors.As(err, &platform) ||
		errors.As(err, &missing) || errors.As(err, &store) || errdefs.IsDataLoss(err)
}

// registryMessage is what a registry says in its refusal, from the errors of
// the distribution specification.
func registryMessage(body []byte) string {
	var document struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &document) != nil {
		return ""
	}
	var messages []string
	for _, e := range document.Errors {
		if text := strings.TrimSpace(e.Code + " " + e.Message); text != "" && !slices.Contains(messages, text) {
			messages = append(messages, text)
		}
	}
	return strings.Join(messages, "; ")
}

func hostOf(address string) string {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" {
		return "registry"
	}
	return parsed.Host
}

// queries may hold signatures that are as good as credentials.
var queries = regexp.MustCompile(`\?[^\s"']+`)

func withoutQueries(text string) string { return queries.ReplaceAllString(text, "?...") }
