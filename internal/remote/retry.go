// SPDX-License-Identifier: Apache-2.0

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
	// maxRetries bounds retries without progress.
	maxRetries = 4
	// maxErrorBytes bounds how much of a refusal's body is read.
	maxErrorBytes = 64 << 10
)

// insist repeats a request while the registry is overloaded. It waits for the
// registry's Retry-After, up to MaxRetryAfter. It always repeats a request that
// was refused with 429, because the registry did not process it. After other
// failures of the registry it repeats only if repeatable is set. A response with
// a status of 300 or more becomes a [statusError].
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

// isTemporary reports whether another attempt may succeed. It is false for errors
// that were already retried.
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

// exhaustedError marks an error after maxRetries retries.
type exhaustedError struct{ error }

func (e *exhaustedError) Unwrap() error { return e.error }

// persist retries temporary failures, at most maxRetries times.
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

// retryAfter returns the wait that the registry asks for:
// https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3.
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

// discard reads the short rest of a response, so that its connection can be
// reused.
func discard(response *http.Response) {
	_, _ = io.CopyN(io.Discard, response.Body, maxErrorBytes)
	_ = response.Body.Close()
}
