//go:build linux

package main

import (
	"maps"
	"sync"
	"time"

	"github.com/docker/docker/api/types/events"
)

// journalSize is how many events are kept for clients that ask for past ones,
// and how far a client may fall behind before it misses some.
const journalSize = 1024

// journal keeps the newest events. Readers fetch them at their own pace, so
// that none of them holds up who writes.
type journal struct {
	mu      sync.Mutex
	kept    []events.Message // the newest, oldest first
	written uint64           // how many there were in all
	more    chan struct{}    // closed by the next event
	closed  bool
}

func newJournal() *journal {
	return &journal{more: make(chan struct{})}
}

// log writes down that something happened to actor, now.
func (j *journal) log(kind events.Type, action events.Action, actor events.Actor) {
	now := time.Now().UTC()
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.kept) == journalSize {
		j.kept = append(j.kept[:0:0], j.kept[1:]...) // readers hold slices of the old one
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

// logPlugin is what a plugin.Manager tells of its verbs.
func (j *journal) logPlugin(id, name string, action events.Action) {
	j.log(events.PluginEventType, action, events.Actor{ID: id, Attributes: map[string]string{"name": name}})
}

// LogVolumeEvent is what docker's volume service tells of its verbs.
func (j *journal) LogVolumeEvent(id string, action events.Action, attributes map[string]string) {
	j.log(events.VolumeEventType, action, events.Actor{ID: id, Attributes: maps.Clone(attributes)})
}

// since returns the kept events at and after the position, the position after
// them, and a channel that is closed when there is more or nothing comes any
// more; ended tells which.
func (j *journal) since(position uint64) (found []events.Message, next uint64, more <-chan struct{}, ended bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	oldest := j.written - uint64(len(j.kept))
	position = min(max(position, oldest), j.written)
	return j.kept[position-oldest : len(j.kept) : len(j.kept)], j.written, j.more, j.closed
}

// end is the position after the newest event.
func (j *journal) end() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.written
}

// close ends all readers, after what they have not read yet. Events may still
// be logged; nobody follows them.
func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.closed {
		j.closed = true
		close(j.more)
	}
}
