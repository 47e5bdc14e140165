// SPDX-License-Identifier: Apache-2.0

package distribution

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/docker/docker/pkg/progress"
	"github.com/docker/docker/pkg/streamformatter"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

const (
	// flushTimeout bounds the wait, at the end of a verb, for a client that does
	// not read its progress.
	flushTimeout = 10 * time.Second
	// lastWriteTimeout bounds the wait for the write in progress after that: the
	// goroutine must not write to a client after the verb has returned.
	lastWriteTimeout = time.Second
)

// Progress writes docker's progress messages to a client, in order, from a separate
// goroutine: a slow or disconnected client delays no transfer. A slow client misses
// only older counts of a layer. WriteProgress never blocks.
type Progress struct {
	out  progress.Output
	wake chan struct{} // has room for one; closed by End
	done chan struct{} // closed when the goroutine has ended

	mu        sync.Mutex
	pending   []progress.Progress
	counts    map[string]int // by ID, the position in pending of a count that a newer one may replace
	ended     bool
	abandoned bool
}

// NewProgress returns a Progress that writes to out, which may be nil. The caller
// must call End.
func NewProgress(out io.Writer) *Progress {
	s := &Progress{out: progress.DiscardOutput(), wake: make(chan struct{}, 1), done: make(chan struct{}), counts: map[string]int{}}
	if out != nil {
		s.out = streamformatter.NewJSONProgressOutput(out, false)
	}
	go s.run()
	return s
}

// WriteProgress queues a message, as plain text, because a command line shows it
// unchanged.
func (s *Progress) WriteProgress(p progress.Progress) error {
	p.ID, p.Action, p.Message = plaintext.Quote(p.ID), plaintext.Quote(p.Action), plaintext.Quote(p.Message)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil
	}
	at, counting := s.counts[p.ID]
	switch {
	case p.Total > 0 && counting && s.pending[at].Action == p.Action:
		s.pending[at] = p
	case p.Total > 0:
		s.counts[p.ID] = len(s.pending)
		s.pending = append(s.pending, p)
	default:
		delete(s.counts, p.ID)
		s.pending = append(s.pending, p)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

func (s *Progress) run() {
	defer close(s.done)
	for range s.wake {
		for _, p := range s.take() {
			if s.isAbandoned() {
				return
			}
			// A disconnected client does not stop the transfer.
			_ = s.out.WriteProgress(p)
		}
	}
}

func (s *Progress) take() []progress.Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.pending
	s.pending, s.counts = nil, map[string]int{}
	return all
}

func (s *Progress) isAbandoned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.abandoned
}

// End waits until all messages are written, until ctx ends, or for flushTimeout.
// Then it waits for the write in progress, and leaves it only if the client blocks
// it for lastWriteTimeout.
func (s *Progress) End(ctx context.Context) {
	s.mu.Lock()
	s.ended = true
	close(s.wake)
	s.mu.Unlock()
	flush, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if s.isDone(flush) {
		return
	}
	s.mu.Lock()
	s.abandoned = true
	s.mu.Unlock()
	lastWrite, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWriteTimeout)
	defer cancel()
	s.isDone(lastWrite)
}

// isDone waits until the goroutine or ctx ends, and reports which: true for the
// goroutine.
func (s *Progress) isDone(ctx context.Context) bool {
	select {
	case <-s.done:
		return true
	case <-ctx.Done():
		return false
	}
}
