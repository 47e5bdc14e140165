//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

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
