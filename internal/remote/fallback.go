package remote

import (
	"net/http"
	"sync/atomic"
)

// plainFallback speaks http to a host that may have no TLS, once a request with
// TLS has failed before any succeeded. The first request of an operation is a
// question, without a body that could be lost.
type plainFallback struct {
	next   http.RoundTripper
	host   string
	plain  atomic.Bool
	secure atomic.Bool
}

func (f *plainFallback) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme != "https" || request.URL.Host != f.host {
		return f.next.RoundTrip(request)
	}
	if f.plain.Load() {
		return f.next.RoundTrip(withoutTLS(request))
	}
	response, err := f.next.RoundTrip(request)
	if err == nil {
		f.secure.Store(true)
		return response, nil
	}
	if request.Body != nil || f.secure.Load() || request.Context().Err() != nil {
		return nil, err
	}
	response, plainErr := f.next.RoundTrip(withoutTLS(request))
	if plainErr != nil {
		return nil, err
	}
	f.plain.Store(true)
	return response, nil
}

func withoutTLS(request *http.Request) *http.Request {
	plain := request.Clone(request.Context())
	plain.URL.Scheme = "http"
	return plain
}
