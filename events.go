// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"slices"

	"github.com/docker/docker/api/types"

	"github.com/dovetailhq/plugin/internal/broadcast"
)

// Event reports a change of a plugin. Its implementations are [EventCreate],
// [EventRemove], [EventDisable] and [EventEnable], which docker has also, and
// [EventStartFailed], [EventExited], [EventRestarted], [EventSet],
// [EventUpgraded] and [EventsDropped].
//
// An event also serves as a filter for [Manager.SubscribeEvents]. The zero value
// of a type matches every event of that type; a filter with a plugin ID
// matches events of that plugin only. [EventCreate] filters by capability
// instead.
type Event interface {
	matches(Event) bool
}

func newBroadcaster() *broadcast.Broadcaster[Event] {
	return broadcast.New(
		func(filter, event Event) bool { return filter != nil && filter.matches(event) },
		func(count int) Event { return EventsDropped{Count: count} },
	)
}

// SubscribeEvents returns a channel of the events that match any of the filters,
// or of all events if there are no filters, in order. The manager never waits
// for a subscriber: the channel holds buffer events, but at least one, and newer
// events are dropped while it is full. An [EventsDropped] takes the place of
// dropped events, before the next event or within a second of the receive that
// made room. It does not count as one of the buffered events.
//
// The caller must call cancel when done, which closes the channel; calling it
// again does nothing. After Shutdown the channel gets no more events, and stays
// open until cancel is called.
func (pm *Manager) SubscribeEvents(buffer int, watchEvents ...Event) (eventCh <-chan interface{}, cancel func()) {
	return pm.events.Subscribe(buffer, watchEvents)
}

// about is an event that a filter can select by plugin.
type about interface {
	Event
	subject() types.Plugin
}

// sameKindAndPlugin reports whether observed is of the filter's type, and of its
// plugin if the filter names one.
func sameKindAndPlugin[E about](filter E, observed Event) bool {
	seen, ok := observed.(E)
	return ok && (filter.subject().ID == "" || filter.subject().ID == seen.subject().ID)
}

// EventCreate reports that a plugin was installed, by a pull or from a build
// context.
type EventCreate struct {
	// Interfaces, in a filter, matches plugins that have any of these
	// capabilities, for example "volumedriver" or "docker.volumedriver/1.0". If
	// empty, any plugin matches.
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

// EventRemove reports that a plugin was removed.
type EventRemove struct {
	Plugin types.Plugin
}

func (e EventRemove) subject() types.Plugin       { return e.Plugin }
func (e EventRemove) matches(observed Event) bool { return sameKindAndPlugin(e, observed) }

// EventDisable reports that a plugin was disabled.
type EventDisable struct {
	Plugin types.Plugin
}

func (e EventDisable) subject() types.Plugin       { return e.Plugin }
func (e EventDisable) matches(observed Event) bool { return sameKindAndPlugin(e, observed) }

// EventEnable reports that a plugin was enabled.
type EventEnable struct {
	Plugin types.Plugin
}

func (e EventEnable) subject() types.Plugin       { return e.Plugin }
func (e EventEnable) matches(observed Event) bool { return sameKindAndPlugin(e, observed) }

// EventStartFailed reports that a plugin did not start: when a user enabled it,
// when the manager started, or after an exit. Err is a [StartError].
type EventStartFailed struct {
	Plugin types.Plugin
	Err    error
}

func (e EventStartFailed) subject() types.Plugin       { return e.Plugin }
func (e EventStartFailed) matches(observed Event) bool { return sameKindAndPlugin(e, observed) }

// EventExited reports that the process of an enabled plugin exited by itself.
// The manager restarts it.
type EventExited struct {
	Plugin types.Plugin
	Exit   ExitStatus
}

func (e EventExited) subject() types.Plugin       { return e.Plugin }
func (e EventExited) matches(observed Event) bool { return sameKindAndPlugin(e, observed) }

// EventRestarted reports that a plugin is ready again after it exited by itself
// or failed to start.
type EventRestarted struct {
	Plugin types.Plugin
}

func (e EventRestarted) subject() types.Plugin       { return e.Plugin }
func (e EventRestarted) matches(observed Event) bool { return sameKindAndPlugin(e, observed) }

// EventSet reports that settings of a plugin were changed.
type EventSet struct {
	Plugin types.Plugin
}

func (e EventSet) subject() types.Plugin       { return e.Plugin }
func (e EventSet) matches(observed Event) bool { return sameKindAndPlugin(e, observed) }

// EventUpgraded reports that a plugin was replaced by another version of itself.
type EventUpgraded struct {
	Plugin types.Plugin
	// Added lists the grants of the new version that the old version lacked,
	// Dropped the grants of the old version that the new version lacks.
	Added, Dropped types.PluginPrivileges
}

func (e EventUpgraded) subject() types.Plugin       { return e.Plugin }
func (e EventUpgraded) matches(observed Event) bool { return sameKindAndPlugin(e, observed) }

// EventsDropped reports that Count events were dropped from a subscription
// because the subscriber was slow. It passes every filter.
type EventsDropped struct {
	Count int
}

func (EventsDropped) matches(observed Event) bool {
	_, ok := observed.(EventsDropped)
	return ok
}
