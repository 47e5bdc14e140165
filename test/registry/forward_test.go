// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"io"
	"maps"
	"net/http"
)

// forward passes a request on, and limit bytes of the answer, or all if limit
// is negative.
func forward(w http.ResponseWriter, r *http.Request, host string, limit int64) {
	out := r.Clone(r.Context())
	out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", host
	response, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer response.Body.Close()
	maps.Copy(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
	if limit < 0 {
		_, _ = io.Copy(w, response.Body)
		return
	}
	_, _ = io.CopyN(w, response.Body, limit)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
