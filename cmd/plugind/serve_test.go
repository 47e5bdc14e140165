// SPDX-License-Identifier: Apache-2.0

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

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func TestDrainLetsRequestsEnd(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	assert.NilError(t, err)
	arrived, leave := make(chan struct{}), make(chan struct{})
	s := newTestServer(listener, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-leave
		_, _ = io.WriteString(w, "whole")
	})

	answered := make(chan string, 1)
	go func() { answered <- get(listener.Addr().String(), "/") }()
	<-arrived
	drained := make(chan error, 1)
	go func() { drained <- s.drain(t.Context()) }()
	ended := <-s.ended
	assert.Assert(t, errors.Is(ended, http.ErrServerClosed)) // the server accepts no new connections
	s.ended <- ended
	close(leave)
	assert.Equal(t, <-answered, "whole")
	assert.NilError(t, <-drained)
}

// TestDrainCutsRequestsOff drains a server with a request that never ends, and
// one with a client that reads nothing of an endless answer.
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
				s := newTestServer(listener, tc.serve)
				_, err := io.WriteString(near, "GET / HTTP/1.1\r\nHost: d\r\n\r\n")
				assert.NilError(t, err)
				synctest.Wait()
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), drainTimeout)
				defer cancel()
				assert.NilError(t, s.drain(ctx))
				assert.Equal(t, time.Since(began), drainTimeout)
				assert.NilError(t, near.Close())
			})
		})
	}
}

func newTestServer(listener net.Listener, serve http.HandlerFunc) *server {
	s := &server{&http.Server{Handler: serve}, make(chan error, 1)}
	go func() { s.ended <- s.Serve(listener) }()
	return s
}

// TestTheEndHasOneDeadline makes the parts of a plugind hang as it ends, and its
// log. The log delays no stage: it makes none of them fail.
func TestTheEndHasOneDeadline(t *testing.T) {
	m := newTestMounts(t)
	assert.NilError(t, m.uses.add(use{"unknown", "user"})) // a warning at the end
	before, level := log.L.Logger.ReplaceHooks(logrus.LevelHooks{}), log.GetLevel()
	defer log.L.Logger.ReplaceHooks(before)
	defer log.L.Logger.SetLevel(level)
	log.L.Logger.SetLevel(logrus.InfoLevel)
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		defer close(never)
		log.L.Logger.AddHook(blockedLog{never})
		v := newVolumes(m.volumes.VolumesService)
		go func() { _ = v.do(t.Context(), "do it", func() error { <-never; return nil }) }()
		synctest.Wait()
		ended := make(chan error, 1)
		defer func() { ended <- http.ErrServerClosed }()
		d := &daemon{server: &server{&http.Server{}, ended}, volumes: v, mounts: newMounts(v, m.journal, m.uses.path)}
		d.mounts.uses.held = m.uses.held
		began := time.Now()
		err := d.close()
		assert.Check(t, time.Since(began) <= shutdownTimeout, "it took %s", time.Since(began))
		for _, stage := range []string{"finish requests", "end calls of volume plugins"} {
			assert.Check(t, is.ErrorContains(err, stage+": "))
		}
		assert.Check(t, !strings.Contains(err.Error(), "unmount volumes"), "%v", err)
	})
}

// blockedLog is a log with a reader that does not read.
type blockedLog struct{ never chan struct{} }

func (blockedLog) Levels() []logrus.Level { return logrus.AllLevels }

func (l blockedLog) Fire(*logrus.Entry) error { <-l.never; return nil }

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
