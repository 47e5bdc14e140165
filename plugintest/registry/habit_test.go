// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func TestHabitsOfContent(t *testing.T) {
	tests := []struct {
		name    string
		fault   Fault
		method  string
		headers []string
		status  int
		body    string
	}{
		{"no HEAD", NoHead, "HEAD", nil, 405, ""},
		{"no HEAD, but GET", NoHead, "GET", nil, 200, "content"},
		{"ranges refused", RefuseRanges, "GET", []string{"Range", "bytes=3-"}, 416, ""},
		{"the whole", RefuseRanges, "GET", nil, 200, "content"},
		{"shorter", Shorten(4), "GET", nil, 200, "cont"},
		{"a part of the shorter", Shorten(4), "GET", []string{"Range", "bytes=3-"}, 206, "t"},
		{"behind the shorter", Shorten(4), "GET", []string{"Range", "bytes=4-"}, 416, ""},
		{"shorter than it is", Shorten(40), "GET", nil, 200, "content"},
		{"longer", Lengthen([]byte("ed")), "GET", nil, 200, "contented"},
		{"a part of the longer", Lengthen([]byte("ed")), "GET", []string{"Range", "bytes=7-"}, 206, "ed"},
		{"a header", SetHeader("Content-Encoding", "gzip"), "GET", nil, 200, "content"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := New()
			r.Inject("", "", 0, test.fault)
			address := fmt.Sprintf("http://%s/v2/a/blobs/%s", r.Start(t), r.PutBlob("a", []byte("content")))
			response, body, err := ask(t, test.method, address, "", append(test.headers, "Accept-Encoding", "identity")...)
			assert.NilError(t, err)
			assert.Equal(t, response.StatusCode, test.status)
			if test.body != "" {
				assert.Equal(t, body, test.body)
			}
			assert.Equal(t, response.Header.Get("Content-Encoding") == "gzip", test.name == "a header")
		})
	}
	r := New()
	r.Inject("", "", 0, SetHeader("Docker-Content-Digest", ""))
	response, _, err := ask(t, "GET", fmt.Sprintf("http://%s/v2/a/blobs/%s", r.Start(t), r.PutBlob("a", nil)), "")
	assert.NilError(t, err)
	assert.Equal(t, response.Header.Get("Docker-Content-Digest"), "")
	r.Remove("a")
	assert.Check(t, !r.Has("a", digest.FromBytes(nil)))
}

func TestHabitsOfUploads(t *testing.T) {
	id := digest.FromString("one two").String()
	for name, location := range map[string]func(host, path string) string{
		"path": nil, "relative": RelativeLocation, "absolute": AbsoluteLocation, "schemeless": SchemelessLocation, "query": QueryLocation,
	} {
		t.Run(name, func(t *testing.T) {
			r := New()
			r.Location, r.UploadStatus = location, 202
			begin, err := url.Parse("http://" + r.Start(t) + "/v2/a/blobs/uploads/")
			assert.NilError(t, err)
			response, _, err := ask(t, "POST", begin.String(), "")
			assert.NilError(t, err)
			at, err := begin.Parse(response.Header.Get("Location"))
			assert.NilError(t, err)
			separator := "?"
			if at.RawQuery != "" {
				separator = "&"
			}
			response, _, err = ask(t, "PUT", at.String()+separator+"digest="+id, "one two")
			assert.NilError(t, err)
			assert.Equal(t, response.StatusCode, http.StatusAccepted)
			assert.Check(t, r.Has("a", digest.Digest(id)))
			response, _, err = ask(t, "PUT", at.String()+separator+"digest="+id, "one two")
			assert.NilError(t, err)
			assert.Equal(t, response.StatusCode, http.StatusNotFound, "the upload is over")
		})
	}
	t.Run("chunks", func(t *testing.T) {
		r := New()
		r.ChunkMinLength = 4
		host := "http://" + r.Start(t)
		begin := func() string {
			response, _, err := ask(t, "POST", host+"/v2/a/blobs/uploads/", "")
			assert.NilError(t, err)
			assert.Equal(t, response.Header.Get("OCI-Chunk-Min-Length"), "4")
			return host + response.Header.Get("Location")
		}
		send := func(method, at, body, contentRange string, want int) {
			t.Helper()
			response, _, err := ask(t, method, at, body, "Content-Range", contentRange)
			assert.NilError(t, err)
			assert.Equal(t, response.StatusCode, want)
		}
		at := begin()
		send("PATCH", at, "one ", "0-3", 202)
		send("PATCH", at, "two", "0-2", 416)
		send("PATCH", at, "two", "4-6", 202)
		send("PUT", at+"?digest="+id, "", "", 201)
		send("PUT", begin()+"?digest="+id, "one two", "", 413)
		at = begin()
		r.Inject("PATCH", "", 1, KeepLess(4))
		send("PATCH", at, "one two", "0-6", 202)
		send("PATCH", at, "two", "4-6", 202)
		send("PUT", at+"?digest="+id, "", "", 201)
		at = begin()
		send("PATCH", at, "one", "0-2", 202)
		send("PATCH", at, " two", "3-6", 416)
	})
	t.Run("faults", func(t *testing.T) {
		r := New()
		address := "http://" + r.Start(t) + "/v2/a/blobs/uploads/"
		r.Inject("POST", "", 0, RefuseMounts(http.StatusConflict))
		response, _, err := ask(t, "POST", address+"?mount="+id+"&from=b", "")
		assert.NilError(t, err)
		assert.Equal(t, response.StatusCode, http.StatusConflict)
		response, _, err = ask(t, "POST", address, "")
		assert.NilError(t, err)
		assert.Equal(t, response.StatusCode, http.StatusAccepted)
		r.Inject("PUT", "", 1, LoseUpload)
		response, content, err := ask(t, "PUT", address+"x?digest="+id, "one two")
		assert.NilError(t, err)
		assert.Equal(t, response.StatusCode, http.StatusNotFound)
		assert.Check(t, is.Contains(content, "BLOB_UPLOAD_UNKNOWN"))
		release := make(chan struct{})
		close(release)
		r.Inject("PUT", "", 1, HoldUpload(release))
		response, _, err = ask(t, "PUT", address+"x?digest="+id, "one two")
		assert.NilError(t, err)
		assert.Equal(t, response.StatusCode, http.StatusNotFound)
	})
}

// TestAnswerEarly answers a request with a body that is larger than the window.
func TestAnswerEarly(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		r := New()
		r.HTTP2 = http2
		release := make(chan struct{})
		server := r.StartTLS(t)
		r.Inject("PUT", "", 1, AnswerEarly(http.StatusCreated, release))
		sent := &counter{Reader: strings.NewReader(strings.Repeat("x", 64*HTTP2Window))}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+"/v2/a/blobs/uploads/x", sent)
		assert.NilError(t, err)
		response, err := server.Client().Do(request)
		assert.NilError(t, err)
		assert.Equal(t, response.StatusCode, http.StatusCreated)
		assert.Equal(t, response.ProtoMajor == 2, http2)
		if http2 {
			assert.Check(t, sent.bytes.Load() < 2*HTTP2Window, "%d bytes were sent", sent.bytes.Load())
		}
		close(release)
		assert.NilError(t, response.Body.Close())
	}
}

// counter counts the bytes that are read.
type counter struct {
	io.Reader
	bytes atomic.Int64
}

func (c *counter) Read(data []byte) (int, error) {
	n, err := c.Reader.Read(data)
	c.bytes.Add(int64(n))
	return n, err
}

func TestRedirectAs(t *testing.T) {
	from, to := New(), New()
	id := to.PutBlob("a", []byte("content"))
	from.Inject("", "", 0, RedirectAs(http.StatusFound, "http://"+to.Start(t)))
	_, content, err := ask(t, "GET", fmt.Sprintf("http://%s/v2/a/blobs/%s?x=y", from.Start(t), id), "")
	assert.NilError(t, err)
	assert.Equal(t, content, "content")
	assert.Equal(t, to.Requests()[0].Query, "x=y")
}

func TestHabitsOfTokens(t *testing.T) {
	r := New()
	r.Auth = &Auth{User: "user", Password: "hunter2", Uses: 2, Opaque: true, ExpiresIn: -1, Hidden: []string{"b"}, Before: []string{`Basic realm="x"`}, After: []string{"Negotiate"}, OneField: true}
	host := "http://" + r.Start(t)
	address := fmt.Sprintf("%s/v2/a/blobs/%s", host, r.PutBlob("a", []byte("content")))
	token := func(scope string) string {
		response, content, err := ask(t, "GET", host+"/token?scope="+scope, "", "Authorization", "Basic dXNlcjpodW50ZXIy")
		assert.NilError(t, err)
		assert.Equal(t, response.StatusCode, http.StatusOK)
		assert.Check(t, !strings.Contains(content, "expires_in"))
		_, rest, _ := strings.Cut(content, `"token":"`)
		value, _, _ := strings.Cut(rest, `"`)
		return value
	}
	first := token("repository:a:pull")
	assert.Check(t, first != token("repository:a:pull"))
	for _, want := range []int{200, 200, 401} {
		response, _, err := ask(t, "GET", address, "", "Authorization", "Bearer "+first)
		assert.NilError(t, err)
		assert.Equal(t, response.StatusCode, want)
		if want == 401 {
			field := response.Header.Values("WWW-Authenticate")
			assert.Equal(t, len(field), 1)
			assert.Check(t, strings.HasPrefix(field[0], `Basic realm="x", Bearer realm=`) && strings.HasSuffix(field[0], ", Negotiate"), field[0])
			assert.Check(t, !strings.Contains(field[0], "error="))
		}
	}
	hidden := token("repository:b:pull")
	assert.Check(t, !strings.Contains(hidden, "repository:b"))
	r.Auth.RefuseHidden = http.StatusForbidden
	response, _, err := ask(t, "GET", host+"/token?scope=repository:b:pull", "", "Authorization", "Basic dXNlcjpodW50ZXIy")
	assert.NilError(t, err)
	assert.Equal(t, response.StatusCode, http.StatusForbidden)
	assert.Equal(t, r.Auth.Rejected(), 0)
	_, _, err = ask(t, "GET", host+"/token?scope=repository:a:pull", "", "Authorization", "Basic eDp5")
	assert.NilError(t, err)
	assert.Equal(t, r.Auth.Rejected(), 1)
	assert.Equal(t, r.Auth.Rejected(), 0)
}
