package remote

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	// maxRetries bounds how often something is tried again without progress.
	maxRetries = 4
	// maxErrorBytes is what is read of a refusal for its text.
	maxErrorBytes = 64 << 10
)

// retrier waits as long as a registry asks for, and tries again what failed on
// the registry's side and does no harm twice. What still fails then is an
// error instead of a response.
type retrier struct {
	next    http.RoundTripper
	options Options
}

func (r *retrier) RoundTrip(request *http.Request) (*http.Response, error) {
	for retries := 0; ; retries++ {
		response, err := r.next.RoundTrip(request)
		if err != nil || !isOverload(response.StatusCode) {
			return response, err
		}
		wait, asked := retryAfter(response)
		if !asked {
			wait = backoff(r.options.RetryWait, retries)
		}
		again, rewound := rewind(request, response.StatusCode)
		if !rewound || retries >= maxRetries || wait > r.options.MaxRetryAfter {
			return nil, refusal(response, wait)
		}
		discard(response)
		if err := pause(request.Context(), wait); err != nil {
			if again.Body != nil {
				_ = again.Body.Close()
			}
			return nil, err
		}
		request = again
	}
}

func isOverload(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusInternalServerError ||
		status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// rewind returns the request to be sent again, if it may be. One that was
// turned away unread may always; another only if it changes nothing.
func rewind(request *http.Request, status int) (*http.Request, bool) {
	unread := status == http.StatusTooManyRequests
	if !unread && !slices.Contains([]string{http.MethodGet, http.MethodHead}, request.Method) {
		return nil, false
	}
	again := request.Clone(request.Context())
	if request.Body == nil || request.Body == http.NoBody {
		return again, true
	}
	if request.GetBody == nil {
		return nil, false
	}
	body, err := request.GetBody()
	if err != nil {
		return nil, false
	}
	again.Body = body
	return again, true
}

// retryAfter is how long the registry wants to be left alone, RFC 9110 section
// 10.2.3.
func retryAfter(response *http.Response) (wait time.Duration, asked bool) {
	value := response.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
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

// refusal makes an error of a response, which is read and closed.
func refusal(response *http.Response, wait time.Duration) error {
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBytes))
	return &statusError{
		host:    response.Request.URL.Host,
		status:  response.StatusCode,
		message: registryMessage(body),
		wait:    wait,
	}
}
