package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxRetries bounds how often something is retried without progress.
	maxRetries = 4
	// maxErrorBytes is what is read of a refusal for its text.
	maxErrorBytes = 64 << 10
)

// insist sends a request until a registry that is overloaded answers it. It
// waits as long as the registry asks for, up to MaxRetryAfter. A request that
// was turned away unread (429) can always be sent again; after other failures
// of the registry that is for the caller to say. The error of a response is a
// [statusError]; a response that is returned is none.
func (o Options) insist(ctx context.Context, repeatable bool, send func() (*http.Response, error)) (*http.Response, error) {
	for retries := 0; ; retries++ {
		response, err := send()
		if err != nil || response.StatusCode < http.StatusMultipleChoices {
			return response, err
		}
		refused := refusal(response)
		again := refused.status == http.StatusTooManyRequests || repeatable && refused.isOverload()
		wait := refused.wait
		if !refused.asked {
			wait = backoff(o.RetryWait, retries)
			refused.wait = wait
		}
		if !again || retries >= maxRetries || wait > o.MaxRetryAfter {
			refused.final = again || wait > o.MaxRetryAfter
			return nil, refused
		}
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// isTemporary reports failures that another attempt may not meet, and that were
// not retried yet.
func isTemporary(err error) bool {
	if _, given := find[*exhaustedError](err); given {
		return false
	}
	if status := statusOf(err); status != nil {
		return status.isOverload() && !status.final
	}
	if _, untrusted := find[*tls.CertificateVerificationError](err); untrusted {
		return false
	}
	if stalled, ok := find[*StalledError](err); ok {
		return !stalled.final
	}
	_, connection := find[*connectionError](err)
	return connection || errors.Is(err, errConnection) || errors.Is(err, errEnded)
}

// exhaustedError marks an error that was retried as often as makes sense.
type exhaustedError struct{ error }

func (e *exhaustedError) Unwrap() error { return e.error }

// persist retries what is temporary, until nothing is left to hope for.
func (o Options) persist(ctx context.Context, try func() error) error {
	for failures := 0; ; failures++ {
		err := try()
		if err == nil || ctx.Err() != nil || !isTemporary(err) {
			return err
		}
		if failures >= maxRetries {
			return &exhaustedError{err}
		}
		wait := backoff(o.RetryWait, failures)
		if status := statusOf(err); status != nil {
			wait = max(wait, status.wait)
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// retryAfter is how long the registry wants to be left alone, RFC 9110 section
// 10.2.3.
func retryAfter(response *http.Response) (wait time.Duration, asked bool) {
	value := response.Header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return time.Duration(max(seconds, 0)) * time.Second, true
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(time.Until(date), 0), true
	}
	return 0, false
}

func backoff(first time.Duration, retries int) time.Duration {
	return first << min(retries, maxRetries)
}

func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// discard reads what little is left of a response, so that its connection can
// be used again.
func discard(response *http.Response) {
	_, _ = io.CopyN(io.Discard, response.Body, maxErrorBytes)
	_ = response.Body.Close()
}
