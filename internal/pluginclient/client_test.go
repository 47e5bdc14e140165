// SPDX-License-Identifier: Apache-2.0

package pluginclient

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

func tooLong(method string) error { return fmt.Errorf("call %s: the answer is too long", method) }

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
	client, err := New(Options{
		Dir: dir, Name: "s", Timeout: time.Minute,
		Room: NewRoom(make(chan struct{}, 1)), TooLong: tooLong,
	})
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

// TestAnswersAreBounded gets endless answers from plugins, in each form.
func TestAnswersAreBounded(t *testing.T) {
	const refused = "call VolumeDriver.List: the answer is too long"
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
			assert.ErrorContains(t, err, refused)
		})
	}
}

// TestHeadersAreBounded gets answers that begin with long lines, or with many headers.
// Their errors, which daemons log, are short.
func TestHeadersAreBounded(t *testing.T) {
	long := strings.Repeat("\x9b", 4<<20)
	for name, begin := range map[string]string{
		"no HTTP":          long,
		"a long status":    "HTTP/1.1 200 " + long,
		"a long header":    "HTTP/1.1 200 OK\r\nA: " + long,
		"no header":        "HTTP/1.1 200 OK\r\n" + long,
		"many headers":     "HTTP/1.1 200 OK\r\n" + strings.Repeat("A:\r\n", 1<<20),
		"many early hints": strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 1<<18),
	} {
		t.Run(name, func(t *testing.T) {
			client := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				connection, _, err := http.NewResponseController(w).Hijack()
				assert.Check(t, err)
				_, _ = io.WriteString(connection, begin+"\r\n\r\n{}") // the client does not read it all
				_ = connection.Close()
			})
			carried, err := transportOf(client)
			assert.NilError(t, err)
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://plugin/VolumeDriver.List", http.NoBody)
			assert.NilError(t, err)
			response, err := carried.RoundTrip(request)
			if err == nil {
				_ = response.Body.Close()
			}
			assert.Assert(t, err != nil, "the answer was accepted")
			assert.Check(t, len(err.Error()) < 5*maxHeaderBytes, "an error of %d bytes", len(err.Error()))
		})
	}
}

// TestAnswersThatFit gets answers of the maximum size.
func TestAnswersThatFit(t *testing.T) {
	for _, tc := range []struct{ name, answer string }{
		{"long", `{"Status":"` + strings.Repeat("x", MaxAnswer-len(`{"Status":""}`)) + `"}`},
		{"of many values", `{"Volumes":[{"Status":{"a":[0` + strings.Repeat(",0", MaxAnswerItems) + `]}}]}`},
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
	_, err = io.CopyN(io.Discard, stream, 2*MaxAnswer)
	assert.NilError(t, err)
}

// TestErrorOfAStreamIsBounded has a plugin that is asked for a stream refuse
// it at length.
func TestErrorOfAStreamIsBounded(t *testing.T) {
	client := answering(t, endless(http.StatusNotFound, "", "0123456789"))
	_, err := client.Stream("LogDriver.ReadLogs", nil)
	assert.ErrorContains(t, err, "call LogDriver.ReadLogs: the answer is too long")
}

// TestBoundedAnswerStaysCut reads on after the error.
func TestBoundedAnswerStaysCut(t *testing.T) {
	body := newBoundedAnswer(t.Context(), io.NopCloser(strings.NewReader("0123456789")), "A.B", MaxAnswer, Options{Room: NewRoom(make(chan struct{}, 1)), TooLong: tooLong})
	body.bytes, body.items = 4, 1
	got, err := io.ReadAll(body)
	assert.Equal(t, string(got), "")
	for range 2 {
		assert.Error(t, err, "call A.B: the answer is too long")
		_, err = body.Read(make([]byte, 1))
	}
}

// TestCallOfAPluginThatIsDown calls where nothing listens: docker's client
// repeats a call for 15 seconds, and a plugin that is known to be down answers
// at once.
func TestCallOfAPluginThatIsDown(t *testing.T) {
	down := errors.New("plugin p:latest is down")
	client, err := New(Options{Dir: t.TempDir(), Name: "s", Timeout: time.Minute, Available: func(time.Time) error { return down }})
	assert.NilError(t, err)
	began := time.Now()
	err = client.Call("VolumeDriver.List", nil, nil)
	assert.ErrorContains(t, err, "VolumeDriver.List: "+down.Error())
	assert.Check(t, time.Since(began) < 5*time.Second, "%s", time.Since(began))
}
