package plugin

import (
	"slices"
	"sync"

	"github.com/docker/docker/api/types"
)

// Event tells what happened to a plugin. The types of this file are all there
// are; docker has the first four. A value of one also serves as a filter for [Manager.SubscribeEvents];
// the zero value of each matches every event of its kind.
type Event interface {
	matches(Event) bool
}

// EventCreate tells that a plugin was installed, by a pull or from a build
// context.
type EventCreate struct {
	// Interfaces, in a filter, is the capabilities of which the plugin must
	// have one, as "volumedriver" or "docker.volumedriver/1.0". If empty, any
	// plugin matches.
	Interfaces map[string]bool
	Plugin     types.Plugin
}

func (e EventCreate) matches(observed Event) bool {
	created, ok := observed.(EventCreate)
	if !ok || len(e.Interfaces) == 0 {
		return ok
	}
	return slices.ContainsFunc(created.Plugin.Config.Interface.Types, func(typ types.PluginInterfaceType) bool {
		return e.Interfaces[typ.Capability] || e.Interfaces[typ.String()]
	})
}

// EventRemove tells that a plugin was removed. A filter with a plugin id
// matches that plugin only.
type EventRemove struct {
	Plugin types.Plugin
}

func (e EventRemove) matches(observed Event) bool {
	removed, ok := observed.(EventRemove)
	return ok && sameID(e.Plugin, removed.Plugin)
}

// EventDisable tells that a plugin was disabled. A filter with a plugin id
// matches that plugin only.
type EventDisable struct {
	Plugin types.Plugin
}

func (e EventDisable) matches(observed Event) bool {
	disabled, ok := observed.(EventDisable)
	return ok && sameID(e.Plugin, disabled.Plugin)
}

// EventEnable tells that a plugin was enabled. A filter with a plugin id
// matches that plugin only.
type EventEnable struct {
	Plugin types.Plugin
}

func (e EventEnable) matches(observed Event) bool {
	enabled, ok := observed.(EventEnable)
	return ok && sameID(e.Plugin, enabled.Plugin)
}

// EventStartFailed tells that a plugin did not start: when a user enabled it,
// when the manager started, or after an exit. Err is a [StartError]. A filter
// with a plugin id matches that plugin only.
type EventStartFailed struct {
	Plugin types.Plugin
	Err    error
}

func (e EventStartFailed) matches(observed Event) bool {
	failed, ok := observed.(EventStartFailed)
	return ok && sameID(e.Plugin, failed.Plugin)
}

// EventExited tells that the process of an enabled plugin ended by itself. It
// is started again. A filter with a plugin id matches that plugin only.
type EventExited struct {
	Plugin types.Plugin
	Exit   Exit
}

func (e EventExited) matches(observed Event) bool {
	exited, ok := observed.(EventExited)
	return ok && sameID(e.Plugin, exited.Plugin)
}

// EventRestarted tells that a plugin is ready again after it ended by itself
// or did not start. A filter with a plugin id matches that plugin only.
type EventRestarted struct {
	Plugin types.Plugin
}

func (e EventRestarted) matches(observed Event) bool {
	restarted, ok := observed.(EventRestarted)
	return ok && sameID(e.Plugin, restarted.Plugin)
}

// EventSet tells that settings of a plugin were changed. A filter with a
// plugin id matches that plugin only.
type EventSet struct {
	Plugin types.Plugin
}

func (e EventSet) matches(observed Event) bool {
	set, ok := observed.(EventSet)
	return ok && sameID(e.Plugin, set.Plugin)
}

// EventUpgraded tells that a plugin is another version of itself. A filter
// with a plugin id matches that plugin only.
type EventUpgraded struct {
	Plugin types.Plugin
	// Added is what the new version may do to its host and the old one could
	// not, Dropped what it may not do any more.
	Added, Dropped types.PluginPrivileges
}

func (e EventUpgraded) matches(observed Event) bool {
	upgraded, ok := observed.(EventUpgraded)
	return ok && sameID(e.Plugin, upgraded.Plugin)
}

// EventsDropped stands in a subscription for Count events that were not
// delivered because the subscriber did not keep up. It passes every filter.
type EventsDropped struct {
	Count int
}

func (EventsDropped) matches(observed Event) bool {
	_, ok := observed.(EventsDropped)
	return ok
}

func sameID(filter, observed types.Plugin) bool {
	return filter.ID == "" || filter.ID == observed.ID
}

// SubscribeEvents returns a channel of the events that match one of the
// filters, or of all events if there are none, in the order in which they
// happened. The manager never waits for a subscriber: when buffer events, but
// at least one, wait to be received, newer ones are dropped, and an
// [EventsDropped] precedes the next one for which there is room.
//
// The caller must call cancel when done, which closes the channel; calling it
// again does nothing.
func (pm *Manager) SubscribeEvents(buffer int, watchEvents ...Event) (eventCh <-chan interface{}, cancel func()) {
	return pm.events.subscribe(buffer, watchEvents)
}

// broadcaster hands each event to every subscriber. The zero value is ready.
type broadcaster struct {
	mu          sync.Mutex
	subscribers []*subscriber
}

type subscriber struct {
	events  chan interface{}
	buffer  int
	filters []Event
	dropped int
}

func (b *broadcaster) subscribe(buffer int, filters []Event) (<-chan interface{}, func()) {
	buffer = max(buffer, 1)
	s := &subscriber{
		events:  make(chan interface{}, buffer+1), // one more, for the marker
		buffer:  buffer,
		filters: slices.Clone(filters),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subscribers = append(b.subscribers, s)
	return s.events, func() { b.cancel(s) }
}

func (b *broadcaster) cancel(s *subscriber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.subscribers, s); i >= 0 {
		b.subscribers = slices.Delete(b.subscribers, i, i+1)
		close(s.events)
	}
}

func (b *broadcaster) publish(e Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.subscribers {
		if s.wants(e) {
			s.deliver(e)
		}
	}
}

func (s *subscriber) wants(e Event) bool {
	return len(s.filters) == 0 || slices.ContainsFunc(s.filters, func(filter Event) bool {
		return filter != nil && filter.matches(e)
	})
}

// deliver never blocks: nobody else sends, so there is room where there was.
func (s *subscriber) deliver(e Event) {
	if len(s.events) >= s.buffer {
		s.dropped++
		return
	}
	if s.dropped > 0 {
		s.events <- EventsDropped{Count: s.dropped}
		s.dropped = 0
	}
	s.events <- e
}
