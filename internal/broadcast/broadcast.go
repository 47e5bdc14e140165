package plugin

import (
	"slices"
	"sync"
	"time"
)

// SubscribeEvents returns a channel of the events that match one of the
// filters, or of all events if there are none, in the order in which they
// happened. The manager never waits for a subscriber: when buffer events, but
// at least one, wait to be received, newer ones are dropped. An [EventsDropped]
// takes their place once there is room: before the next event, or within a
// second of the receive that made room. It takes no event's room.
//
// The caller must call cancel when done, which closes the channel; calling it
// again does nothing. The channel of a manager that was shut down gets no more
// events, and stays open until cancel is called.
func (pm *Manager) SubscribeEvents(buffer int, watchEvents ...Event) (eventCh <-chan interface{}, cancel func()) {
	return pm.events.subscribe(buffer, watchEvents)
}

// broadcaster hands each event to every subscriber. The zero value is ready.
type broadcaster struct {
	mu          sync.Mutex
	subscribers []*subscriber
	closed      bool
}

func (b *broadcaster) subscribe(buffer int, filters []Event) (<-chan interface{}, func()) {
	buffer = max(buffer, 1)
	s := &subscriber{
		events:  make(chan interface{}, 2*buffer+1), // at most one marker before and after each event
		buffer:  buffer,
		filters: slices.Clone(filters),
		ended:   make(chan struct{}),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subscribers = append(b.subscribers, s)
	return s.events, func() { b.cancel(s) }
}

func (b *broadcaster) cancel(s *subscriber) {
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

// publish never blocks.
func (b *broadcaster) publish(e Event) {
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

// close ends the reports of drops. Subscribers keep their channels.
func (b *broadcaster) close() {
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
type subscriber struct {
	events    chan interface{}
	buffer    int
	filters   []Event
	ended     chan struct{}
	endOnce   sync.Once
	reporting sync.WaitGroup // the goroutine of report

	mu      sync.Mutex
	unread  []bool // for each item in events, after some that were received: whether it is an event
	waiting int    // events among unread
	dropped int    // not reported yet
	reports bool   // report runs, as long as there are dropped ones
}

func (s *subscriber) wants(e Event) bool {
	return len(s.filters) == 0 || slices.ContainsFunc(s.filters, func(filter Event) bool {
		return filter != nil && filter.matches(e)
	})
}

// deliver sends an event, or drops it when as many as fit wait to be received.
func (s *subscriber) deliver(e Event) {
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
func (s *subscriber) report() {
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

func (s *subscriber) reported() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.roomLocked() {
		s.markLocked()
	}
	s.reports = s.dropped > 0
	return !s.reports
}

// markLocked puts the number of dropped events in their place.
func (s *subscriber) markLocked() {
	if s.dropped > 0 {
		s.sendLocked(EventsDropped{Count: s.dropped}, false)
		s.dropped = 0
	}
}

// sendLocked does not block: no other goroutine sends, and there is room.
func (s *subscriber) sendLocked(item Event, counts bool) {
	s.events <- item
	s.unread = append(s.unread, counts)
	if counts {
		s.waiting++
	}
}

// roomLocked reports whether fewer events than the buffer holds wait.
func (s *subscriber) roomLocked() bool {
	for len(s.unread) > len(s.events) {
		if s.unread[0] {
			s.waiting--
		}
		s.unread = s.unread[1:]
	}
	return s.waiting < s.buffer
}

func (s *subscriber) end() { s.endOnce.Do(func() { close(s.ended) }) }
