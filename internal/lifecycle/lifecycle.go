// SPDX-License-Identifier: Apache-2.0

// Package lifecycle is the state machine of a plugin, as a table. It has no state
// and no side effects: callers keep the state and act on transitions.
//
//	Disabled -enable-> Starting -ready-> Running -exit-> Backoff -retry-> Starting
//	Starting -refuse-> Stopping (a user asked)   Starting -defer-> Backoff (the manager asked)
//	Running|Backoff|Starting -disable-> Stopping -stopped-> Disabled
//	Disabled -inherit-> Stopping -stick-> Stopping
//	Disabled -upgrade-> Upgrading -done-> Disabled
//	Disabled -remove-> Removing -done-> Removed  Removing -fail-> Disabled
package lifecycle

import "github.com/dovetailhq/plugin/internal/plaintext"

// State is the actual state of a plugin. It is never persisted. The zero value is
// Disabled, the initial state.
type State int

// The states, each with its possible successors.
const (
	Disabled  State = iota // Starting, Stopping, Upgrading, Removing
	Starting               // Running, Backoff, Stopping
	Running                // Backoff, Stopping
	Backoff                // Starting, Stopping
	Stopping               // Disabled, once the process is gone
	Upgrading              // Disabled
	Removing               // Removed, Disabled
	Removed                // none
)

var stateNames = [...]string{"disabled", "starting", "running", "backoff", "stopping", "upgrading", "removing", "removed"}

func (s State) String() string { return stateNames[s] }

// Event is an event in the life of a plugin.
type Event int

// The events.
const (
	Enable  Event = iota // a user or the boot starts the plugin
	Ready                // the plugin's socket accepts connections
	Refuse               // a start requested by a user failed
	Defer                // a start requested by the manager failed and will be retried
	Exit                 // the process exited by itself
	Retry                // the wait before a restart is over
	Disable              // a user or the shutdown stops the plugin
	Inherit              // an earlier manager may have left a process
	Stick                // an attempt to stop the process failed
	Stopped              // the process is gone
	Upgrade              // an upgrade begins
	Remove               // a removal begins
	Done                 // the upgrade or the removal has ended
	Fail                 // the removal failed
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

// Next returns the state after event in state from. It returns an
// [ImpossibleError] if from does not allow event.
func Next(from State, event Event) (State, error) {
	to, ok := transitions[from][event]
	if !ok {
		return from, &ImpossibleError{From: from, Event: event}
	}
	return to, nil
}

// ImpossibleError reports an event that a state does not allow. Class Conflict.
type ImpossibleError struct {
	From  State
	Event Event
}

func (e *ImpossibleError) Error() string {
	return plaintext.Sprintf("cannot %s while it is %s", e.Event, e.From)
}

// Conflict marks the error's class.
func (e *ImpossibleError) Conflict() {}
