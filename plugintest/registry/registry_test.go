// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// ask sends a request with headers, which are pairs of name and value.
func ask(t *testing.T, method, url, body string, headers ...string) (*http.Response, string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	assert.NilError(t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response, string(content), err
}

func TestPutAndGet(t *testing.T) {
	r := New()
	base := "http://" + r.Start(t) + "/v2/a/b/"
	target := r.PutPlugin("a/b", "tag", []byte("{}"), []byte("layer"))
	for _, reference := range []string{"tag", target.Digest.String()} {
		response, content, err := ask(t, http.MethodGet, base+"manifests/"+reference, "")
		assert.NilError(t, err)
		assert.Equal(t, response.StatusCode, http.StatusOK)
		assert.Equal(t, response.Header.Get("Content-Type"), MediaTypeManifest)
		assert.Equal(t, response.Header.Get("Docker-Content-Digest"), target.Digest.String())
		assert.Equal(t, digest.FromString(content), target.Digest)
	}
	response, content, err := ask(t, http.MethodGet, base+"blobs/"+digest.FromString("layer").String(), "", "Range", "bytes=2-")
	assert.NilError(t, err)
	assert.Equal(t, response.StatusCode, http.StatusPartialContent)
	assert.Equal(t, content, "yer")
	for _, path := range []string{"manifests/other", "blobs/" + digest.FromString("other").String(), "nothing/else"} {
		response, _, err = ask(t, http.MethodGet, base+path, "")
		assert.NilError(t, err)
		assert.Equal(t, response.StatusCode, http.StatusNotFound)
	}
	log := r.Requests()
	assert.Equal(t, len(log), 6)
	assert.Equal(t, log[2].Header.Get("Range"), "bytes=2-")
	assert.Equal(t, len(r.Requests()), 0)
}

func TestUpload(t *testing.T) {
	r := New()
	host := "http://" + r.Start(t)
	begin := func(query string) *http.Response {
		response, _, err := ask(t, http.MethodPost, host+"/v2/a/b/blobs/uploads/"+query, "")
		assert.NilError(t, err)
		return response
	}
	id := digest.FromString("one two")
	location := begin("").Header.Get("Location")
	response, _, err := ask(t, http.MethodPatch, host+location, "one ")
	assert.NilError(t, err)
	assert.Equal(t, response.StatusCode, http.StatusAccepted)
	response, _, err = ask(t, http.MethodPut, host+response.Header.Get("Location")+"?digest="+id.String(), "two")
	assert.NilError(t, err)
	assert.Equal(t, response.StatusCode, http.StatusCreated)
	assert.Check(t, r.Has("a/b", id))

	location = begin("").Header.Get("Location")
	response, content, err := ask(t, http.MethodPut, host+location+"?digest="+id.String(), "something else")
	assert.NilError(t, err)
	assert.Equal(t, response.StatusCode, http.StatusBadRequest)
	assert.Check(t, is.Contains(content, "DIGEST_INVALID"))

	id = r.PutBlob("c", []byte("mounted"))
	r.NoMounts = true
	assert.Equal(t, begin("?mount="+id.String()+"&from=c").StatusCode, http.StatusAccepted)
	r.NoMounts = false
	assert.Equal(t, begin("?mount="+id.String()+"&from=c").StatusCode, http.StatusCreated)
	assert.Check(t, r.Has("a/b", id))

	_, _, err = ask(t, http.MethodPut, host+"/v2/a/b/manifests/tag", "{}", "Content-Type", MediaTypeIndex)
	assert.NilError(t, err)
	mediaType, data := r.Manifest("a/b", "tag")
	assert.Equal(t, mediaType+string(data), MediaTypeIndex+"{}")
	_, _, err = ask(t, http.MethodPut, host+"/v2/a/b/manifests/"+digest.FromString("[]").String(), "[]")
	assert.NilError(t, err)
	_, data = r.Manifest("a/b", "tag")
	assert.Equal(t, string(data), "{}")
}

func TestFaults(t *testing.T) {
	r := New()
	data := bytes.Repeat([]byte("x"), 1000)
	url := fmt.Sprintf("http://%s/v2/a/blobs/%s", r.Start(t), r.PutBlob("a", data))
	get := func(headers ...string) (*http.Response, string, error) {
		return ask(t, http.MethodGet, url, "", headers...)
	}
	r.Inject("GET", "/blobs/", 2, Refuse(http.StatusTeapot, "Retry-After", "7"))
	for range 2 {
		response, content, err := get()
		assert.NilError(t, err)
		assert.Equal(t, response.StatusCode, http.StatusTeapot)
		assert.Equal(t, response.Header.Get("Retry-After"), "7")
		assert.Check(t, is.Contains(content, "REFUSED"))
	}
	response, content, err := get()
	assert.NilError(t, err)
	assert.Equal(t, response.StatusCode, http.StatusOK)
	assert.Equal(t, len(content), 1000)

	r.Inject("", "", 1, Cut(10))
	_, content, err = get()
	assert.Check(t, is.ErrorIs(err, io.ErrUnexpectedEOF))
	assert.Equal(t, len(content), 10)

	r.Inject("", "", 1, Lie([]byte("lie")))
	_, content, err = get()
	assert.NilError(t, err)
	assert.Equal(t, content, "lie")

	r.Inject("", "", 1, IgnoreRange)
	response, content, err = get("Range", "bytes=10-")
	assert.NilError(t, err)
	assert.Equal(t, response.StatusCode, http.StatusOK)
	assert.Equal(t, len(content), 1000)

	r.Inject("", "", 0, FirstAcceptOnly)
	response, _, err = get("Accept", "a, b")
	assert.NilError(t, err)
	assert.Equal(t, response.StatusCode, http.StatusNotFound)
	response, _, err = get("Accept", "a", "Accept", "b")
	assert.NilError(t, err)
	assert.Equal(t, response.StatusCode, http.StatusOK)
	r.Heal()

	release := make(chan struct{})
	close(release)
	r.Inject("", "", 1, Hold(release))
	_, content, err = get()
	assert.NilError(t, err)
	assert.Equal(t, len(content), 1000)
}

func TestStall(t *testing.T) {
	r := New()
	url := fmt.Sprintf("http://%s/v2/a/blobs/%s", r.Start(t), r.PutBlob("a", []byte("content")))
	r.Inject("", "", 0, Stall(3))
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	assert.NilError(t, err)
	response, err := http.DefaultClient.Do(request)
	assert.NilError(t, err)
	defer response.Body.Close()
	first := make([]byte, 3)
	_, err = io.ReadFull(response.Body, first)
	assert.NilError(t, err)
	assert.Equal(t, string(first), "con")
	go cancel()
	_, err = response.Body.Read(first)
	assert.Check(t, errors.Is(err, context.Canceled), "%v", err)
}

func TestRedirect(t *testing.T) {
	from, to := New(), New()
	id := to.PutBlob("a", []byte("content"))
	from.Inject("", "", 0, Redirect("http://"+to.Start(t)))
	_, content, err := ask(t, http.MethodGet, fmt.Sprintf("http://%s/v2/a/blobs/%s", from.Start(t), id), "")
	assert.NilError(t, err)
	assert.Equal(t, content, "content")
	assert.Equal(t, to.Requests()[0].Query, "signature=secret")
}

func TestAuthChallenges(t *testing.T) {
	r := New()
	r.Auth = &Auth{User: "user", Password: "hunter2"}
	host := "http://" + r.Start(t)
	url := fmt.Sprintf("%s/v2/a/blobs/%s", host, r.PutBlob("a", []byte("content")))
	response, _, err := ask(t, http.MethodGet, url, "")
	assert.NilError(t, err)
	assert.Equal(t, response.StatusCode, http.StatusUnauthorized)
	assert.Equal(t, response.Header.Get("WWW-Authenticate"), fmt.Sprintf(`Bearer realm="%s/token",service="test",scope="repository:a:pull"`, host))
	response, _, err = ask(t, http.MethodGet, host+"/token?scope=repository:a:pull", "")
	assert.NilError(t, err)
	assert.Equal(t, response.StatusCode, http.StatusUnauthorized)
	form := "scope=repository:a:pull&username=user&password=hunter2"
	_, content, err := ask(t, http.MethodPost, host+"/token", form, "Content-Type", "application/x-www-form-urlencoded")
	assert.NilError(t, err)
	assert.Check(t, is.Contains(content, `"token":"repository:a:pull"`))
	response, content, err = ask(t, http.MethodGet, url, "", "Authorization", "Bearer repository:a:pull")
	assert.NilError(t, err)
	assert.Equal(t, response.StatusCode, http.StatusOK)
	assert.Equal(t, content, "content")
	response, _, err = ask(t, http.MethodGet, url, "", "Authorization", "Bearer repository:b:pull")
	assert.NilError(t, err)
	assert.Check(t, is.Contains(response.Header.Get("WWW-Authenticate"), "insufficient_scope"))
	assert.DeepEqual(t, r.Auth.Scopes(), [][]string{{"repository:a:pull"}, {"repository:a:pull"}})
}
