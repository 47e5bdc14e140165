// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package attendtest holds what the tests of both executors share: handlers,
// streams, and waits for processes, with bounds for loaded machines.
package attendtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

const (
	// Patience bounds waits for events that should happen at once.
	Patience = 30 * time.Second
	// Slack is the additional time that a call can take on a loaded machine.
	Slack = 10 * time.Second
)

// NewID returns a random ID.
func NewID() string {
	b := make([]byte, 32)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// Within returns the error of call. It fails the test if call takes longer than its
// bound.
func Within(t *testing.T, bound time.Duration, name string, call func() error) error {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- call() }()
	limit, cancel := context.WithTimeout(t.Context(), bound+Slack)
	defer cancel()
	select {
	case err := <-result:
		return err
	case <-limit.Done():
		t.Fatalf("%s did not return within %v and %v", name, bound, Slack)
		return nil
	}
}

// Exits is an exit handler on which a test can wait.
type Exits chan string

// HandleExitEvent implements the executors' exit handlers.
func (e Exits) HandleExitEvent(id string) error {
	e <- id
	return nil
}

// Await waits for the next exit, which is that of want.
func (e Exits) Await(t testing.TB, want string) {
	t.Helper()
	select {
	case got := <-e:
		assert.Equal(t, got, want)
	case <-time.After(Patience):
		t.Fatalf("the exit of %s was not reported within %v", want, Patience)
	}
}

// Output is a stream that keeps its text.
type Output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	writes  []string
	changed chan struct{}
	closed  chan struct{}
}

// NewOutput returns an open stream.
func NewOutput() *Output {
	return &Output{changed: make(chan struct{}, 1), closed: make(chan struct{})}
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
	o.writes = append(o.writes, string(p))
	return o.text.Write(p)
}

// Close closes the stream. A second Close panics.
func (o *Output) Close() error {
	close(o.closed)
	return nil
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Writes returns the text by calls of Write.
func (o *Output) Writes() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.writes
}

// IsClosed reports whether the stream is closed now.
func (o *Output) IsClosed() bool {
	select {
	case <-o.closed:
		return true
	default:
		return false
	}
}

// All waits until the stream is closed, and returns its text.
func (o *Output) All(t testing.TB) string {
	t.Helper()
	select {
	case <-o.closed:
	case <-time.After(Patience):
		t.Fatalf("the stream was not closed within %v", Patience)
	}
	return o.String()
}

// AwaitText waits until exactly want was written.
func (o *Output) AwaitText(t testing.TB, want string) {
	t.Helper()
	limit := time.After(Patience)
	for o.String() != want {
		select {
		case <-o.changed:
		case <-limit:
			t.Fatalf("%q was not written within %v, but %q", want, Patience, o)
		}
	}
}
