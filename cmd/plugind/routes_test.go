// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// spaces is an endless body.
type spaces struct{ read int64 }

func (s *spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	s.read += int64(len(p))
	return len(p), nil
}

// TestBodiesOfAllRoutesAreBounded sends an endless body to each route. The
// daemon behind the routes is empty, so that a handler that runs before the
// body is read would panic.
func TestBodiesOfAllRoutesAreBounded(t *testing.T) {
	d := &daemon{journal: newJournal(), mounts: &mounts{}}
	mux := d.handler()
	variable := regexp.MustCompile(`{[^}]*}`)
	seen := 0
	for _, from := range d.routers() {
		for _, route := range from.Routes() {
			if route.Path() == "/plugins/create" {
				continue // a build context, bounded by the manager
			}
			seen++
			t.Run(route.Method()+" "+route.Path(), func(t *testing.T) {
				body := &spaces{}
				request := httptest.NewRequest(route.Method(), variable.ReplaceAllString(route.Path(), "foo"), io.NopCloser(body))
				request.Header.Set("Content-Type", "application/json")
				answer := httptest.NewRecorder()
				mux.ServeHTTP(answer, request)
				assert.Check(t, is.Equal(answer.Code, http.StatusBadRequest))
				assert.Check(t, is.Contains(answer.Body.String(), "read request: its body has more than 1048575 bytes"))
				assert.Check(t, body.read < 3<<20, "%d bytes were read", body.read)
			})
		}
	}
	assert.Check(t, seen > 20, "routes were not seen")
}
