// SPDX-License-Identifier: Apache-2.0

//go:build linux

package executortest

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

var errStreamClosed = errors.New("write to a stream that the executor has closed")

// stream records what an executor writes to one of the streams of a run.
type stream struct {
	mu      sync.Mutex
	text    []byte
	closed  int
	late    int
	changed chan struct{}
	// patience bounds waits for events that should happen immediately.
	patience time.Duration
}

func newStream(patience time.Duration) *stream {
	return &stream{changed: make(chan struct{}), patience: patience}
}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed > 0 {
		s.late++
		return 0, errStreamClosed
	}
	s.text = append(s.text, p...)
	s.changeLocked()
	return len(p), nil
}

func (s *stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	s.changeLocked()
	return nil
}

func (s *stream) changeLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// awaitLine waits until the whole line was written.
func (s *stream) awaitLine(t testing.TB, line string) {
	t.Helper()
	s.await(t, "the line "+line, func() bool {
		return bytes.Contains(slices.Concat([]byte("\n"), s.text), []byte("\n"+line+"\n"))
	})
}

// awaitClose waits until the stream is closed, and returns its text.
func (s *stream) awaitClose(t testing.TB) string {
	t.Helper()
	s.await(t, "the stream's close", func() bool { return s.closed > 0 })
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

// assertClosedOnce fails unless the stream was closed once and not written to since.
func (s *stream) assertClosedOnce(t testing.TB) {
	t.Helper()
	s.awaitClose(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed != 1 || s.late != 0 {
		t.Errorf("stream was closed %d times and written to %d times after that: want one close as the last act", s.closed, s.late)
	}
}

func (s *stream) await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	limit := time.NewTimer(s.patience)
	defer limit.Stop()
	for {
		s.mu.Lock()
		held, changed := holds(), s.changed
		s.mu.Unlock()
		if held {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			s.mu.Lock()
			defer s.mu.Unlock()
			t.Fatalf("waited %v for %s; written so far: %q", s.patience, what, s.text)
		}
	}
}
