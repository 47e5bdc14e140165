// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/pkg/jsonmessage"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/class"
)

const step = `{"status":"Pulling"}` + "\r\n"

var streamingVerbs = []string{
	"/plugins/pull?remote=foo",
	"/plugins/foo/upgrade?remote=foo",
	"/plugins/foo/push",
}

func TestProgressIsStreamed(t *testing.T) {
	for _, target := range streamingVerbs {
		t.Run(target, func(t *testing.T) {
			answer := serve(t, &recorder{progress: []string{step, step}}, "POST", target, "")
			assert.Check(t, is.Equal(answer.StatusCode, http.StatusOK))
			assert.Check(t, is.Equal(answer.Header.Get("Content-Type"), "application/json"))
			assert.Check(t, is.Equal(bodyOf(t, answer), strings.TrimSpace(step+step)))
		})
	}
}

func TestErrorAfterProgressEndsTheStream(t *testing.T) {
	for _, target := range streamingVerbs {
		t.Run(target, func(t *testing.T) {
			failing := &recorder{progress: []string{step}, err: class.NotFound(errors.New("manifest unknown"))}
			answer := serve(t, failing, "POST", target, "")
			assert.Check(t, is.Equal(answer.StatusCode, http.StatusOK))

			decoder := json.NewDecoder(answer.Body)
			var first, last jsonmessage.JSONMessage
			assert.NilError(t, decoder.Decode(&first))
			assert.Equal(t, first.Status, "Pulling")
			assert.NilError(t, decoder.Decode(&last))
			assert.Equal(t, last.Error.Message, "manifest unknown")
			assert.Assert(t, errors.Is(decoder.Decode(&last), io.EOF))
		})
	}
}

func TestPullReportsTheName(t *testing.T) {
	for _, tc := range []struct{ target, name string }{
		{"/plugins/pull?remote=foo", "foo:latest"},
		{"/plugins/pull?remote=foo:v1", "foo:v1"},
		{"/plugins/pull?remote=foo:v1@" + digest, "foo:v1"},
		{"/plugins/pull?remote=foo&name=a.example/bar:v2", "a.example/bar:v2"},
		{"/plugins/bar:v1/upgrade?remote=foo", "bar:v1"},
	} {
		t.Run(tc.target, func(t *testing.T) {
			answer := serve(t, &recorder{progress: []string{step}}, "POST", tc.target, "")
			assert.Equal(t, answer.Header.Get("Docker-Plugin-Name"), tc.name)
		})
	}
}

func TestProgressReachesTheClientAtOnce(t *testing.T) {
	answer := httptest.NewRecorder()
	progress := newProgressStream(answer)
	_, err := io.WriteString(progress, step)
	assert.NilError(t, err)
	assert.Assert(t, answer.Flushed)
	assert.Equal(t, answer.Body.String(), step)
}

func TestProgressAfterTheEndIsRefused(t *testing.T) {
	answer := httptest.NewRecorder()
	progress := newProgressStream(answer)
	assert.NilError(t, progress.finish(http.StatusNoContent, nil))
	_, err := io.WriteString(progress, step)
	assert.ErrorIs(t, err, io.ErrClosedPipe)
	assert.Equal(t, answer.Code, http.StatusNoContent)
	assert.Equal(t, answer.Body.Len(), 0)
}

func TestProgressOfManyWritersIsWhole(t *testing.T) {
	answer := httptest.NewRecorder()
	progress := newProgressStream(answer)
	var writers sync.WaitGroup
	for range 20 {
		writers.Go(func() {
			_, err := io.WriteString(progress, step)
			assert.Check(t, err)
		})
	}
	writers.Wait()
	assert.NilError(t, progress.finish(http.StatusNoContent, nil))
	assert.Equal(t, answer.Body.String(), strings.Repeat(step, 20))
}

// deaf is a ResponseWriter with a client that is gone.
type deaf struct{ http.ResponseWriter }

func (deaf) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestProgressToAClientThatIsGone(t *testing.T) {
	progress := newProgressStream(deaf{httptest.NewRecorder()})
	_, err := io.WriteString(progress, step)
	assert.ErrorIs(t, err, io.ErrClosedPipe)
	assert.NilError(t, progress.finish(http.StatusOK, errors.New("pull was cancelled")))
}
