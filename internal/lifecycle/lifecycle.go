// Package lifecycle is the state machine of one plugin, as a table. It does
// nothing and holds nothing: callers keep the state and act on it.
//
//	Disabled -enable-> Starting -ready-> Running -exit-> Backoff -retry-> Starting
//	Starting -refuse-> Stopping (a user asked)   Starting -defer-> Backoff (the manager asked)
//	Running|Backoff|Starting -disable-> Stopping -stopped-> Disabled
//	Disabled -inherit-> Stopping -stick-> Stopping
//	Disabled -upgrade-> Upgrading -done-> Disabled
//	Disabled -remove-> Removing -done-> Removed  Removing -fail-> Disabled
package lifecycle

import "github.com/dovetailhq/plugin/internal/plaintext"

// State is what is really the case with a plugin. It is never persisted. The
// zero value is Disabled, where every plugin begins.
type State int

// The states, each with what may follow.
const (
	Disabled  State = iota // Starting, Stopping, Upgrading, Removing
	Starting               // Running, Backoff, Stopping
	Running                // Backoff, Stopping
	Backoff                // Starting, Stopping
	Stopping               // Disabled, once no process is left
	Upgrading              // Disabled
	Removing               // Removed, Disabled
	Removed                // nothing
)

var stateNames = [...]string{"disabled", "starting", "running", "backoff", "stopping", "upgrading", "removing", "removed"}

func (s State) String() string { return stateNames[s] }

// Event is what happens to a plugin.
type Event int

// The events.
const (
	Enable  Event = iota // a user, or boot, wants it to run
	Ready                // its socket accepts
	Refuse               // the start a user asked for failed
	Defer                // a start the manager asked for failed
	Exit                 // the process ended by itself
	Retry                // the wait before a restart is over
	Disable              // a user, or shutdown, wants it to stop
	Inherit              // an earlier manager may have left a process
	Stick                // an attempt to end the process failed
	Stopped              // the process is gone
	Upgrade              // an upgrade begins
	Remove               // a removal begins
	Done                 // the upgrade or the removal is over
	Fail                 // the removal did not happen
)

var eventNames = [...]string{"enable", "ready", "refuse", "defer", "exit", "retry", "disable", "inherit", "stick", "stopped", "upgrade", "remove", "done", "fail"}

func (e Event) String() string { return eventNames[e] }

var transitions = map[State]map[Event]State{
	Disabled:  {Enable: Starting, Inherit: Stopping, Upgrade: Upgrading, Remove: Removing},
	Starting:  {Ready: Running, Refuse: Stopping, Defer: Backoff, Disable: Stopping},
	Running:   {Exit: Backoff, Disable: Stopping},
	Backoff:   {Retry: Starting, Disable: Stopping},
	Stopping:  {Stick: Stopping, Stopped: Disabled},
	Upgrading: {Done: Disabled},
	Removing:  {Done: Removed, Fail: Disabled},
	Removed:   {},
}

// Next returns the state that follows from when event happens, or an
// [ImpossibleError].
func Next(from State, event Event) (State, error) {
	to, ok := transitions[from][event]
	if !ok {
		return from, &ImpossibleError{From: from, Event: event}
	}
	return to, nil
}

// ImpossibleError refuses an event that a state does not allow. Class
// Conflict.
type ImpossibleError struct {
	From  State
	Event Event
}

func (e *ImpossibleError) Error() string {
	return plaintext.Sprintf("cannot %s while it is %s", e.Event, e.From)
}

// Conflict marks the error's class.
func (e *ImpossibleError) Conflict() {}
