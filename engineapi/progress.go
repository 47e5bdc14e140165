// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/docker/docker/pkg/streamformatter"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// progressStream is the body of an answer that reports progress. Every write
// reaches the client at once. Until the first write, finish can still choose
// the status. A progressStream is safe for concurrent use.
//
// A verb can hold a plugin's lock while it waits for a client that does not
// read. The waits take patience at most in total; then the client counts as
// gone.
type progressStream struct {
	mu       sync.Mutex
	answer   *answer
	started  bool
	finished bool
	broken   error
}

func newProgressStream(w http.ResponseWriter) *progressStream {
	a := answerOf(w)
	a.pace.fixed = true
	return &progressStream{answer: a}
}

// Write sends message. After finish it fails, because the response is gone.
func (s *progressStream) Write(message []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished {
		return 0, fmt.Errorf("write progress: %w", io.ErrClosedPipe)
	}
	return s.writeLocked(message)
}

func (s *progressStream) writeLocked(message []byte) (n int, err error) {
	if s.broken != nil {
		return 0, s.broken
	}
	if !s.started {
		s.started = true
		s.answer.Header().Set("Content-Type", "application/json")
	}
	if n, err = s.answer.Write(message); err == nil {
		err = s.answer.FlushError()
	}
	s.broken = err
	return n, err
}

// finish ends the answer of a verb that returned err. If nothing was streamed,
// it answers status, or returns err for an answer by its class. Otherwise the
// status was sent as 200, and err becomes the last message of the stream.
func (s *progressStream) finish(status int, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	switch {
	case !s.started && err == nil:
		s.answer.WriteHeader(status)
		return nil
	case !s.started:
		return err
	case err != nil:
		// Ignored: the client is gone.
		_, _ = s.writeLocked(streamformatter.FormatError(plaintext.Error(err)))
	}
	return nil
}
