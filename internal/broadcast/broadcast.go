// SPDX-License-Identifier: Apache-2.0

// Package broadcast delivers events to subscribers. A slow subscriber delays
// neither the publisher nor other subscribers.
package broadcast

import (
	"slices"
	"sync"
	"time"
)

// Broadcaster delivers each event to every subscriber with a matching filter.
// Make one with [New]. It is safe for concurrent use.
type Broadcaster[E any] struct {
	matches func(filter, event E) bool
	dropped func(count int) E

	mu          sync.Mutex
	subscribers []*subscriber[E]
	closed      bool
}

// New returns a broadcaster. Matches reports whether an event passes a filter,
// and dropped makes the event that stands for a number of dropped ones.
func New[E any](matches func(filter, event E) bool, dropped func(count int) E) *Broadcaster[E] {
	return &Broadcaster[E]{matches: matches, dropped: dropped}
}

// Subscribe returns a channel of the events that pass one of the filters, or of
// all events if there are none, in the order of Publish. When buffer events, but
// at least one, wait to be received, newer ones are dropped, and their number
// takes their place once there is room. Cancel closes the channel and must be
// called; calling it again does nothing.
func (b *Broadcaster[E]) Subscribe(buffer int, filters []E) (events <-chan any, cancel func()) {
	buffer = max(buffer, 1)
	s := &subscriber[E]{
		broadcaster: b,
		events:      make(chan any, 2*buffer+1), // at most one marker before and after each event
		buffer:      buffer,
		filters:     slices.Clone(filters),
		ended:       make(chan struct{}),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subscribers = append(b.subscribers, s)
	return s.events, func() { b.cancel(s) }
}

func (b *Broadcaster[E]) cancel(s *subscriber[E]) {
	b.mu.Lock()
	i := slices.Index(b.subscribers, s)
	if i >= 0 {
		b.subscribers = slices.Delete(b.subscribers, i, i+1)
	}
	b.mu.Unlock()
	if i >= 0 {
		s.end()
		s.reporting.Wait()
		close(s.events)
	}
}

// Publish never blocks.
func (b *Broadcaster[E]) Publish(e E) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	for _, s := range b.subscribers {
		if s.wants(e) {
			s.deliver(e)
		}
	}
}

// Close ends the reports of drops. Subscribers keep their channels.
func (b *Broadcaster[E]) Close() {
	b.mu.Lock()
	b.closed = true
	subscribers := slices.Clone(b.subscribers)
	b.mu.Unlock()
	for _, s := range subscribers {
		s.end()
		s.reporting.Wait()
	}
}

// subscriber is one channel of events.
type subscriber[E any] struct {
	broadcaster *Broadcaster[E]
	events      chan any
	buffer      int
	filters     []E
	ended       chan struct{}
	endOnce     sync.Once
	reporting   sync.WaitGroup // the goroutine of report

	mu      sync.Mutex
	unread  []bool // for each item in events, after some that were received: whether it is an event
	waiting int    // events among unread
	dropped int    // not reported yet
	reports bool   // report runs, as long as there are dropped ones
}

func (s *subscriber[E]) wants(e E) bool {
	return len(s.filters) == 0 || slices.ContainsFunc(s.filters, func(filter E) bool {
		return s.broadcaster.matches(filter, e)
	})
}

// deliver sends an event, or drops it when as many as fit wait to be received.
func (s *subscriber[E]) deliver(e E) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.roomLocked() {
		s.markLocked()
		s.sendLocked(e, true)
		return
	}
	s.dropped++
	if !s.reports {
		s.reports = true
		s.reporting.Go(s.report)
	}
}

// report delivers how many events were dropped once there is room, unless an
// event came first. A channel does not notify its sender of a receive, so the
// clock is asked, and only while there are drops to report.
func (s *subscriber[E]) report() {
	const maxPause = time.Second
	timer := time.NewTimer(0)
	defer timer.Stop()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, maxPause) {
		select {
		case <-timer.C:
			timer.Reset(pause)
		case <-s.ended:
			return
		}
		if s.reported() {
			return
		}
	}
}

func (s *subscriber[E]) reported() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.roomLocked() {
		s.markLocked()
	}
	s.reports = s.dropped > 0
	return !s.reports
}

// markLocked puts the number of dropped events in their place.
func (s *subscriber[E]) markLocked() {
	if s.dropped > 0 {
		s.sendLocked(s.broadcaster.dropped(s.dropped), false)
		s.dropped = 0
	}
}

// sendLocked does not block: no other goroutine sends, and there is room.
func (s *subscriber[E]) sendLocked(item E, counts bool) {
	s.events <- item
	s.unread = append(s.unread, counts)
	if counts {
		s.waiting++
	}
}

// roomLocked reports whether fewer events than the buffer holds wait.
func (s *subscriber[E]) roomLocked() bool {
	for len(s.unread) > len(s.events) {
		if s.unread[0] {
			s.waiting--
		}
		s.unread = s.unread[1:]
	}
	return s.waiting < s.buffer
}

func (s *subscriber[E]) end() { s.endOnce.Do(func() { close(s.ended) }) }
