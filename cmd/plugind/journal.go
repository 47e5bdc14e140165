// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"maps"
	"sync"
	"time"

	"github.com/docker/docker/api/types/events"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// journalSize is how many events are kept for clients that ask for past events.
// A client that falls further behind misses some.
const journalSize = 1024

// journal keeps the newest events. Slow readers never block writers. A journal is safe for concurrent use.
type journal struct {
	mu      sync.Mutex
	kept    []events.Message // the newest, oldest first
	written uint64           // number of all events so far
	more    chan struct{}    // closed by the next event
	closed  bool
}

func newJournal() *journal {
	return &journal{more: make(chan struct{})}
}

// log records an event of actor with the current time.
func (j *journal) log(kind events.Type, action events.Action, actor events.Actor) {
	now := time.Now().UTC()
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.kept) == journalSize {
		j.kept = append(j.kept[:0:0], j.kept[1:]...) // readers hold slices of the old array
	}
	j.kept = append(j.kept, events.Message{
		Type: kind, Action: action, Actor: actor, Scope: "local",
		Time: now.Unix(), TimeNano: now.UnixNano(),
	})
	j.written++
	if !j.closed {
		close(j.more)
		j.more = make(chan struct{})
	}
}

// logPlugin records a verb of a plugin.Manager.
func (j *journal) logPlugin(id, name string, action events.Action) {
	j.log(events.PluginEventType, action, events.Actor{ID: id, Attributes: map[string]string{"name": name}})
}

// LogVolumeEvent records a verb of docker's volume service, with plain texts: a plugin
// chooses the names of its volumes, and command lines print events.
func (j *journal) LogVolumeEvent(id string, action events.Action, attributes map[string]string) {
	plain := maps.Clone(attributes)
	for name, value := range plain {
		plain[name] = plaintext.Quote(value)
	}
	j.log(events.VolumeEventType, action, events.Actor{ID: plaintext.Quote(id), Attributes: plain})
}

// since returns the kept events from position on, the position after them, and
// a channel that is closed by the next event or by close. ended reports that
// the journal is closed.
func (j *journal) since(position uint64) (found []events.Message, next uint64, more <-chan struct{}, ended bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	oldest := j.written - uint64(len(j.kept))
	position = min(max(position, oldest), j.written)
	return j.kept[position-oldest : len(j.kept) : len(j.kept)], j.written, j.more, j.closed
}

// position returns the position after the newest event.
func (j *journal) position() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.written
}

// close ends all readers once they have read the remaining events. Later events
// are kept, but no reader follows them.
func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.closed {
		j.closed = true
		close(j.more)
	}
}
