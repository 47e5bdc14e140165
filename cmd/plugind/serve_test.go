//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"gotest.tools/v3/assert"
)

// abandon leaves a socket at path that nothing listens on, as a process that
// was killed does.
func abandon(t testing.TB, path string) {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	assert.NilError(t, err)
	listener.SetUnlinkOnClose(false)
	assert.NilError(t, listener.Close())
}

func TestListenReplacesAnAbandonedSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	abandon(t, path)
	listener, err := options{host: "unix://" + path}.listen()
	assert.NilError(t, err)
	found, err := os.Stat(path)
	assert.NilError(t, err)
	assert.Equal(t, found.Mode(), os.ModeSocket|0o660)
	assert.NilError(t, listener.Close())
	_, err = os.Stat(path)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestListenRefuses(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(t *testing.T, path string)
		message string
		is      error
	}{
		{"a live socket", func(t *testing.T, path string) {
			listener, err := net.Listen("unix", path)
			assert.NilError(t, err)
			t.Cleanup(func() { assert.Check(t, listener.Close()) })
		}, "another process serves it", nil},
		{"a file", func(t *testing.T, path string) {
			assert.NilError(t, os.WriteFile(path, []byte("mine"), 0o600))
			t.Cleanup(func() {
				kept, err := os.ReadFile(path)
				assert.Check(t, err)
				assert.Check(t, string(kept) == "mine")
			})
		}, "there is a file that is no socket", nil},
		{"a directory that is none", func(t *testing.T, path string) {
			assert.NilError(t, os.Remove(filepath.Dir(path)))
			assert.NilError(t, os.WriteFile(filepath.Dir(path), nil, 0o600))
		}, "", syscall.ENOTDIR},
		{"a directory that is not there", func(t *testing.T, path string) {
			assert.NilError(t, os.Remove(filepath.Dir(path)))
		}, "", os.ErrNotExist},
	} {
		t.Run(tc.name, func(t *testing.T) {
			directory := filepath.Join(t.TempDir(), "d")
			assert.NilError(t, os.Mkdir(directory, 0o700))
			path := filepath.Join(directory, "s")
			tc.prepare(t, path)
			_, err := options{host: "unix://" + path}.listen()
			assert.ErrorContains(t, err, "listen on unix://"+path+": "+tc.message)
			if tc.is != nil {
				assert.ErrorIs(t, err, tc.is)
			}
		})
	}
}

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
