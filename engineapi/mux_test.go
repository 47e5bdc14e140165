// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/server/router"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func TestUnknownRequestsAreRefused(t *testing.T) {
	const tooOld = "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"
	for _, tc := range []struct {
		name   string
		method string
		target string
		status int
		allow  string
		answer string
	}{
		{"path", "GET", "/containers/json", 404, "", `{"message":"page not found"}`},
		{"path of a version", "GET", "/v1.51/containers/json", 404, "", `{"message":"page not found"}`},
		{"path below a path", "GET", "/plugins/foo/bar", 405, "DELETE", `{"message":"method GET not allowed"}`},
		{"path above", "GET", "/", 404, "", `{"message":"page not found"}`},
		{"path without its slash", "GET", "/pluginsfoo", 404, "", `{"message":"page not found"}`},
		{"path with another in front", "GET", "/x/plugins", 404, "", `{"message":"page not found"}`},
		{"invalid version", "GET", "/vx/plugins", 404, "", `{"message":"page not found"}`},
		{"method", "POST", "/plugins", 405, "GET", `{"message":"method POST not allowed"}`},
		{"method of a version", "PUT", "/v1.51/plugins", 405, "GET", `{"message":"method PUT not allowed"}`},
		{"method on a verb", "PATCH", "/plugins/foo/enable", 405, "DELETE, POST", `{"message":"method PATCH not allowed"}`},
		{"version too new", "GET", "/v1.52/plugins", 400, "", `{"message":"client version 1.52 is too new. Maximum supported API version is 1.51"}`},
		{"version far too new", "GET", "/v2/plugins", 400, "", `{"message":"client version 2 is too new. Maximum supported API version is 1.51"}`},
		{"version too old", "GET", "/v1.23/plugins", 400, "", tooOld},
	} {
		t.Run(tc.name, func(t *testing.T) {
			backend := &recorder{}
			answer := serve(t, backend, tc.method, tc.target, "")
			assert.Check(t, is.Equal(bodyOf(t, answer), tc.answer))
			assert.Check(t, is.Equal(answer.StatusCode, tc.status))
			assert.Check(t, is.Equal(answer.Header.Get("Allow"), tc.allow))
			assert.Check(t, is.Len(backend.recorded(), 0))
		})
	}
}

func TestEverySupportedVersionIsServed(t *testing.T) {
	for _, version := range []string{"", "/v1.24", "/v1.30", "/v1.40", "/v1.50", "/v1.51"} {
		t.Run(version, func(t *testing.T) {
			answer := serve(t, &recorder{}, "GET", version+"/plugins", "")
			assert.Check(t, is.Equal(answer.StatusCode, http.StatusOK))
			assert.Check(t, is.Equal(answer.Header.Get("Api-Version"), "1.51"))
			assert.Check(t, is.Equal(answer.Header.Get("Ostype"), "linux"))
			assert.Check(t, is.Equal(answer.Header.Get("Server"), "Docker/ (linux)"))
		})
	}
}

// echo is a route that answers with the variables of its path.
func echo(method, path string) router.Router {
	return routes{router.NewRoute(method, path, func(ctx context.Context, w http.ResponseWriter, _ *http.Request, vars map[string]string) error {
		vars["context"] = httputils.VersionFromContext(ctx)
		return httputils.WriteJSON(w, http.StatusOK, vars)
	})}
}

func TestMuxJoinsRouters(t *testing.T) {
	joined := NewMux("1.2.3",
		echo("GET", "/a/{name}"),
		echo("GET", "/a/{name:.*}/b"),
		echo("POST", "/a/{left:[a-z]+}-{right}"),
		echo("GET", "/a.b"),
		NewRouter(&recorder{}),
	)
	for _, tc := range []struct{ method, target, answer string }{
		{"GET", "/a/x", `{"context":"1.51","name":"x","version":""}`},
		{"GET", "/v1.30/a/x", `{"context":"1.30","name":"x","version":"1.30"}`},
		{"GET", "/a/x/y/b", `{"context":"1.51","name":"x/y","version":""}`},
		{"GET", "/a/b/b", `{"context":"1.51","name":"b","version":""}`},
		{"POST", "/a/foo-1", `{"context":"1.51","left":"foo","right":"1","version":""}`},
		{"GET", "/a.b", `{"context":"1.51","version":""}`},
		{"GET", "/a-b", `{"message":"page not found"}`},
		{"GET", "/a/x%2Fy", `{"message":"page not found"}`},
		{"GET", "/plugins", `[]`},
	} {
		t.Run(tc.target, func(t *testing.T) {
			answer := httptest.NewRecorder()
			joined.ServeHTTP(answer, httptest.NewRequest(tc.method, tc.target, nil))
			assert.Equal(t, strings.TrimSpace(answer.Body.String()), tc.answer)
		})
	}
}

func TestPanicIsAnswered(t *testing.T) {
	answer := serve(t, &recorder{panics: true}, "GET", "/plugins", "")
	assert.Equal(t, answer.StatusCode, http.StatusInternalServerError)
	assert.Equal(t, bodyOf(t, answer), `{"message":"internal error: see the daemon's log"}`)
}

func TestPanicCutsOffAnAnswerThatHadBegun(t *testing.T) {
	server := httptest.NewServer(NewHandler(&recorder{panics: true, progress: []string{step}}))
	defer server.Close()
	answer, err := http.Post(server.URL+"/plugins/foo/push", "", nil)
	assert.NilError(t, err)
	defer answer.Body.Close()
	assert.Equal(t, answer.StatusCode, http.StatusOK)
	_, err = io.ReadAll(answer.Body)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)

	// The daemon still serves.
	answer, err = http.Get(server.URL + "/nowhere")
	assert.NilError(t, err)
	assert.NilError(t, answer.Body.Close())
	assert.Equal(t, answer.StatusCode, http.StatusNotFound)
}

func TestAbortStaysAnAbort(t *testing.T) {
	aborting := recovering(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler)
	}))
	answer := httptest.NewRecorder()
	defer func() {
		err, ok := recover().(error)
		assert.Assert(t, ok && errors.Is(err, http.ErrAbortHandler))
		assert.Equal(t, answer.Body.Len(), 0)
	}()
	aborting.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
}

func TestFlushReachesThroughTheMux(t *testing.T) {
	answer := httptest.NewRecorder()
	flushing := routes{router.NewGetRoute("/flush", func(_ context.Context, w http.ResponseWriter, _ *http.Request, _ map[string]string) error {
		w.(http.Flusher).Flush()
		return nil
	})}
	NewMux("", flushing).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/flush", nil))
	assert.Assert(t, answer.Flushed)
}
