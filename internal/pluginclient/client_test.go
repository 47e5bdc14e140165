package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/pkg/plugins"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// answering returns a client of a plugin that answers by handler.
func answering(t *testing.T, handler http.HandlerFunc) *plugins.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "dt") // a socket path must be short
	assert.NilError(t, err)
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	assert.NilError(t, err)
	server := &http.Server{Handler: handler}
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		assert.Check(t, server.Close())
		assert.Check(t, is.ErrorIs(<-served, http.ErrServerClosed))
		assert.Check(t, os.RemoveAll(dir))
	})
	client, err := newPluginClient(listener.Addr().String(), time.Minute, nil, newLongAnswers(make(chan struct{}, 1)))
	assert.NilError(t, err)
	return client
}

// endless answers with status and what never ends, until the client has gone.
func endless(status int, begin, more string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, err := io.WriteString(w, begin)
		for err == nil {
			_, err = io.WriteString(w, strings.Repeat(more, 1000))
		}
	}
}

// TestAnswersAreBounded has plugins answer without end, in each form.
func TestAnswersAreBounded(t *testing.T) {
	const tooLong = "call VolumeDriver.List: the plugin's answer is longer than 8 MiB or has more than 262144 values"
	redirected := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/VolumeDriver.List" {
			http.Redirect(w, r, streamMethods[0], http.StatusTemporaryRedirect)
			return
		}
		endless(http.StatusOK, `{"Err":"`, "x")(w, r)
	}
	for _, tc := range []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"a string", endless(http.StatusOK, `{"Err":"`, "0123456789")},
		{"white space", endless(http.StatusOK, "", "          ")},
		{"empty volumes", endless(http.StatusOK, `{"Volumes":[{}`, ",{}")},
		{"an error", endless(http.StatusInternalServerError, `{"Err":"`, "0123456789")},
		{"as if it were a stream", redirected},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client := answering(t, tc.answer)
			var list struct {
				Volumes []*struct{ Name, Mountpoint string }
				Err     string
			}
			err := client.Call("VolumeDriver.List", map[string]string{}, &list)
			assert.ErrorContains(t, err, tooLong)
		})
	}
}

// TestAnswersThatFit has plugins answer as much as they may.
func TestAnswersThatFit(t *testing.T) {
	for _, tc := range []struct{ name, answer string }{
		{"long", `{"Err":"` + strings.Repeat("x", maxAnswer-len(`{"Err":""}`)) + `"}`},
		{"of many values", `{"Volumes":[{}` + strings.Repeat(",{}", maxAnswerItems) + `]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client := answering(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tc.answer) })
			var got json.RawMessage
			assert.NilError(t, client.Call("VolumeDriver.List", nil, &got))
			assert.Check(t, string(got) == tc.answer)
		})
	}
}

// TestStreamsAreNot reads more of a stream than any answer may have.
func TestStreamsAreNot(t *testing.T) {
	client := answering(t, endless(http.StatusOK, "", ",,,,,,,,,,"))
	stream, err := client.Stream("LogDriver.ReadLogs", nil)
	assert.NilError(t, err)
	defer stream.Close()
	_, err = io.CopyN(io.Discard, stream, 2*maxAnswer)
	assert.NilError(t, err)
}

// TestErrorOfAStreamIsBounded has a plugin that is asked for a stream refuse
// it at length.
func TestErrorOfAStreamIsBounded(t *testing.T) {
	client := answering(t, endless(http.StatusNotFound, "", "0123456789"))
	_, err := client.Stream("LogDriver.ReadLogs", nil)
	assert.ErrorContains(t, err, "call LogDriver.ReadLogs: the plugin's answer is longer")
}

// TestBoundedAnswerStaysCut reads on after the error.
func TestBoundedAnswerStaysCut(t *testing.T) {
	body := newBoundedAnswer(t.Context(), io.NopCloser(strings.NewReader("0123456789")), "A.B", newLongAnswers(make(chan struct{}, 1)))
	body.bytes, body.items = 4, 1
	got, err := io.ReadAll(body)
	assert.Equal(t, string(got), "")
	for range 2 {
		var tooLong *AnswerError
		assert.Assert(t, errors.As(err, &tooLong), fmt.Sprint(err))
		_, err = body.Read(make([]byte, 1))
	}
}

// TestCallOfAPluginThatIsDown calls where nothing listens: docker's client
// repeats a call for 15 seconds, and a plugin that is known to be down answers
// at once.
func TestCallOfAPluginThatIsDown(t *testing.T) {
	down := &UnavailableError{Name: "p:latest", State: "backoff"}
	client, err := newPluginClient(filepath.Join(t.TempDir(), "s"), time.Minute, func(time.Time) error { return down }, longAnswers{})
	assert.NilError(t, err)
	began := time.Now()
	err = client.Call("VolumeDriver.List", nil, nil)
	assert.ErrorContains(t, err, "VolumeDriver.List: "+down.Error())
	assert.Check(t, time.Since(began) < 5*time.Second, "%s", time.Since(began))
}
