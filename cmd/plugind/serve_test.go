//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"
)

func TestDrainLetsRequestsEnd(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	assert.NilError(t, err)
	arrived, leave := make(chan struct{}), make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-leave
		_, _ = io.WriteString(w, "whole")
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()

	answered := make(chan string, 1)
	go func() { answered <- get(listener.Addr().String(), "/") }()
	<-arrived
	drained := make(chan error, 1)
	go func() { drained <- drain(server) }()
	assert.Assert(t, errors.Is(<-ended, http.ErrServerClosed)) // no new ones are taken
	close(leave)
	assert.Equal(t, <-answered, "whole")
	assert.NilError(t, <-drained)
}

// TestDrainCutsRequestsOff has a request that never ends, and one whose client
// reads nothing of an answer without end.
func TestDrainCutsRequestsOff(t *testing.T) {
	for _, tc := range []struct {
		name  string
		serve http.HandlerFunc
	}{
		{"hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"is not read", func(w http.ResponseWriter, _ *http.Request) {
			for err := error(nil); err == nil; {
				_, err = io.WriteString(w, strings.Repeat("again", 1000))
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				listener := &single{connection: far, closed: make(chan struct{})}
				server := &http.Server{Handler: tc.serve}
				ended := make(chan error, 1)
				go func() { ended <- server.Serve(listener) }()
				_, err := io.WriteString(near, "GET / HTTP/1.1\r\nHost: d\r\n\r\n")
				assert.NilError(t, err)
				synctest.Wait()
				began := time.Now()
				assert.NilError(t, drain(server))
				assert.Equal(t, time.Since(began), drainTimeout)
				assert.Assert(t, errors.Is(<-ended, http.ErrServerClosed))
				assert.NilError(t, near.Close())
			})
		})
	}
}

// single is a listener of one connection.
type single struct {
	connection net.Conn
	closed     chan struct{}
}

func (s *single) Accept() (connection net.Conn, err error) {
	if s.connection == nil {
		<-s.closed
		return nil, net.ErrClosed
	}
	connection, s.connection = s.connection, nil
	return connection, nil
}

func (s *single) Close() error { close(s.closed); return nil }

func (s *single) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: "pipe"} }

// get returns the body of an answer, or the error in its place.
func get(socket, path string) string {
	answer, err := clientOf(socket).Get("http://plugind" + path)
	if err != nil {
		return err.Error()
	}
	body, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return err.Error()
	}
	return string(body)
}

func clientOf(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
}
