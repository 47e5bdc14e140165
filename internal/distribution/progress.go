package plugin

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
	// flushTimeout bounds how long a verb that is done waits for a client that
	// doesn't read its progress.
	flushTimeout = 10 * time.Second
	// lastWriteTimeout is how long it waits then for the write in progress: a
	// client that reads must not be written to after the verb has returned.
	lastWriteTimeout = time.Second
)

// progressStream writes docker's progress messages to a client, in order, from
// a goroutine of its own: a client that is slow or gone delays no transfer. What
// a slow client misses are older counts of a layer. WriteProgress never blocks.
type progressStream struct {
	out  progress.Output
	wake chan struct{} // has room for one; closed by end
	done chan struct{} // closed when the goroutine has ended

	mu        sync.Mutex
	pending   []progress.Progress
	counts    map[string]int // positions in pending of what may be replaced, by id
	ended     bool
	abandoned bool
}

// progressOn writes to out, which may be nil. End must follow.
func progressOn(out io.Writer) *progressStream {
	s := &progressStream{out: progress.DiscardOutput(), wake: make(chan struct{}, 1), done: make(chan struct{}), counts: map[string]int{}}
	if out != nil {
		s.out = streamformatter.NewJSONProgressOutput(out, false)
	}
	go s.run()
	return s
}

// WriteProgress queues a message. A command line shows it as it is, so it is made
// plain.
func (s *progressStream) WriteProgress(p progress.Progress) error {
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

func (s *progressStream) run() {
	defer close(s.done)
	for range s.wake {
		for _, p := range s.take() {
			if s.isAbandoned() {
				return
			}
			// A client that is gone is no reason to stop.
			_ = s.out.WriteProgress(p)
		}
	}
}

func (s *progressStream) take() []progress.Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.pending
	s.pending, s.counts = nil, map[string]int{}
	return all
}

func (s *progressStream) isAbandoned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.abandoned
}

// end waits until everything is written, but no longer than ctx and
// flushTimeout, and then for the write in progress. Only one that the client
// holds for lastWriteTimeout is left.
func (s *progressStream) end(ctx context.Context) {
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

// isDone waits until the goroutine has ended, but no longer than ctx.
func (s *progressStream) isDone(ctx context.Context) bool {
	select {
	case <-s.done:
		return true
	case <-ctx.Done():
		return false
	}
}
