package plugin

import (
	"slices"

	"github.com/docker/docker/api/types"
)

// Event is what happened to a plugin. This file has all types of events;
// docker has the first four.
//
// A value also serves as a filter for [Manager.SubscribeEvents]. The zero value
// of a type matches every event of that type; a filter with a plugin id
// matches events of that plugin only. [EventCreate] filters by capability
// instead.
type Event interface {
	matches(Event) bool
}

// about is an event that a filter can select by plugin.
type about interface {
	Event
	subject() types.Plugin
}

// sameKindAndPlugin is how events that are about a plugin match.
func sameKindAndPlugin[E about](filter E, observed Event) bool {
	seen, ok := observed.(E)
	return ok && (filter.subject().ID == "" || filter.subject().ID == seen.subject().ID)
}

// EventCreate reports that a plugin was installed, by a pull or from a build
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

// EventExited reports that the process of an enabled plugin ended by itself.
// The manager starts it again.
type EventExited struct {
	Plugin types.Plugin
	Exit   Exit
}

func (e EventExited) subject() types.Plugin       { return e.Plugin }
func (e EventExited) matches(observed Event) bool { return sameKindAndPlugin(e, observed) }

// EventRestarted reports that a plugin is ready again after it ended by itself
// or did not start.
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

// EventUpgraded reports that a plugin is another version of itself.
type EventUpgraded struct {
	Plugin types.Plugin
	// Added is what the new version may do to its host and the old one could
	// not, Dropped what it may not do any more.
	Added, Dropped types.PluginPrivileges
}

func (e EventUpgraded) subject() types.Plugin       { return e.Plugin }
func (e EventUpgraded) matches(observed Event) bool { return sameKindAndPlugin(e, observed) }

// EventsDropped stands in a subscription for Count events that were not
// delivered because the subscriber did not keep up. It passes every filter.
type EventsDropped struct {
	Count int
}

func (EventsDropped) matches(observed Event) bool {
	_, ok := observed.(EventsDropped)
	return ok
}
