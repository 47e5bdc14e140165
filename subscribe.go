package plugin

import (
	"slices"
	"sync"
)

// SubscribeEvents returns a channel of the events that match one of the
// filters, or of all events if there are none, in the order in which they
// happened. The manager never waits for a subscriber: when buffer events, but
// at least one, wait to be received, newer ones are dropped. As soon as there
// is room, an [EventsDropped] takes their place; events that happen before it
// is delivered are counted in it or in a second one.
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
	s := &subscriber{
		events:  make(chan interface{}, max(buffer, 1)),
		filters: slices.Clone(filters),
		more:    make(chan struct{}, 1),
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
	filters   []Event
	more      chan struct{} // gets an item when dropped has grown
	ended     chan struct{}
	endOnce   sync.Once
	reporting sync.WaitGroup // the goroutine that delivers an EventsDropped

	mu      sync.Mutex
	dropped int // not reported yet; while there are any, report runs
}

func (s *subscriber) wants(e Event) bool {
	return len(s.filters) == 0 || slices.ContainsFunc(s.filters, func(filter Event) bool {
		return filter != nil && filter.matches(e)
	})
}

// deliver sends an event, or drops it when the channel is full or an
// EventsDropped has to come first.
func (s *subscriber) deliver(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped == 0 {
		select {
		case s.events <- e:
			return
		default:
		}
		s.reporting.Go(s.report)
	}
	s.dropped++
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// report waits for room, and delivers how many events were dropped. It returns
// when all are reported, or when the subscription ends.
func (s *subscriber) report() {
	for {
		count := s.unreported(0)
		if count == 0 {
			return
		}
		select {
		case s.events <- EventsDropped{Count: count}:
			if s.unreported(count) == 0 {
				return
			}
		case <-s.more:
		case <-s.ended:
			return
		}
	}
}

// unreported takes those off that were reported, and returns how many are left.
func (s *subscriber) unreported(reported int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped -= reported
	return s.dropped
}

func (s *subscriber) end() { s.endOnce.Do(func() { close(s.ended) }) }
