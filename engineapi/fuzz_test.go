// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// FuzzRequests serves any request. The backend succeeds always, so an answer of
// class 5xx means a fault or a panic of the endpoints.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		"GET /plugins HTTP/1.1\r\nHost: d\r\n\r\n",
		"GET /v1.51/plugins?filters={\"enabled\":[\"true\"]} HTTP/1.1\r\nHost: d\r\n\r\n",
		"POST /plugins/a/b:c/set HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n[\"a=b\"]",
		"POST /plugins/pull?remote=a@sha256:0&name=b HTTP/1.1\r\nHost: d\r\nX-Registry-Auth: e30=\r\nContent-Length: 2\r\n\r\n[]",
		"POST /plugins/a/enable?timeout=1 HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET /plugins/a/logs?tail=1&since=1.5&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n",
		"POST /plugins/a/enable HTTP/1.1\r\nHost: d\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 5\r\n\r\n--b--",
		"DELETE /v1.24/plugins/%00%1b[2J?force=x HTTP/1.1\r\nHost: d\r\n\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			return
		}
		answer := httptest.NewRecorder()
		NewHandler(&observable{recorder: &recorder{}}).ServeHTTP(answer, request)
		assert.Assert(t, answer.Code < http.StatusInternalServerError, "%d %s", answer.Code, answer.Body)
		assert.Assert(t, !strings.ContainsAny(answer.Body.String(), "\x1b\r\x00\x7f"), "%q", answer.Body)
	})
}
