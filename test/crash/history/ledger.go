// SPDX-License-Identifier: Apache-2.0

package history

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Event reports that a verb is about to begin or has returned. Events of one
// plugin do not overlap: a worker waits for the end of its verb.
type Event struct {
	Operation
	Ended bool `json:",omitempty"`
	// Class and Error are the verb's result.
	Class Class  `json:",omitempty"`
	Error string `json:",omitempty"`
	// At is the time, on a clock that all processes of the host share. A begin
	// is recorded before the call, an end after the return.
	At int64
}

// Always is later than all events.
const Always = math.MaxInt64

// Ledger has the history of all plugins. It is not safe for concurrent use.
type Ledger struct {
	// Problems are wrong results.
	Problems []string
	// Successes counts successful verbs, by verb.
	Successes map[string]int

	plugins map[string]*plugin
	others  []Event // successful ends of verbs without a plugin
}

// plugin is the history of one name.
type plugin struct {
	first   State
	changes []change
}

type change struct {
	begun, ended int64 // ended is Always until the verb has returned
	right        Class // the right result
	failed       bool  // it had another result, and can have happened or not
	after        State
}

// NewLedger returns a ledger that begins with an observation.
func NewLedger(found map[string]State) *Ledger {
	l := &Ledger{Successes: map[string]int{}, plugins: map[string]*plugin{}}
	for name, state := range found {
		l.plugins[name] = &plugin{first: state}
	}
	return l
}

// Record adds the next event.
func (l *Ledger) Record(event Event) {
	if event.Name == "" {
		if event.Ended {
			if event.Class == Done {
				l.others = append(l.others, event)
			}
			l.judge(event, Done)
		}
		return
	}
	p := l.plugins[event.Name]
	if p == nil {
		p = &plugin{}
		l.plugins[event.Name] = p
	}
	if !event.Ended {
		after, right := p.latest().Apply(event.Operation)
		p.changes = append(p.changes, change{begun: event.At, ended: Always, right: right, after: after})
		return
	}
	last := &p.changes[len(p.changes)-1]
	last.ended, last.failed = event.At, event.Class != last.right
	l.judge(event, last.right)
}

func (l *Ledger) judge(event Event, right Class) {
	if event.Class == Done {
		l.Successes[event.Verb]++
	}
	if event.Class != right {
		l.Problems = append(l.Problems, fmt.Sprintf("%+v: answer %q, want %q: %s", event.Operation, event.Class, right, event.Error))
	}
}

// latest returns the state after the last right result.
func (p *plugin) latest() State {
	for _, change := range slices.Backward(p.changes) {
		if !change.failed {
			return change.after
		}
	}
	return p.first
}

// Compare compares the state after a crash, or after a power cut, with the
// events. The crash came after from and before to. Each line of the result is a
// plugin in a wrong state: it lost an acknowledged operation, or shows an
// operation that no worker began.
func (l *Ledger) Compare(found map[string]State, from, to int64) []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(found)), maps.Keys(l.plugins))
	slices.Sort(names)
	var wrong []string
	for _, name := range slices.Compact(names) {
		if possible := l.Possible(name, from, to); !slices.Contains(possible, found[name]) {
			wrong = append(wrong, fmt.Sprintf("%s is %+v, may be %+v", name, found[name], possible))
		}
	}
	return wrong
}

// Possible returns the states that a plugin can have after a crash between from
// and to: the state after the last right result before the crash, and those of
// the verbs that had begun.
func (l *Ledger) Possible(name string, from, to int64) []State {
	p := l.plugins[name]
	if p == nil {
		return []State{{}}
	}
	possible := []State{p.first}
	for _, change := range p.changes {
		switch {
		case change.ended != Always && change.ended <= from && !change.failed:
			possible = []State{change.after}
		case change.begun <= to:
			possible = append(possible, change.after)
		}
	}
	return possible
}

// Acknowledged returns the number of successful verbs until by.
func (l *Ledger) Acknowledged(by int64) int {
	count := 0
	for _, event := range l.others {
		if event.At <= by {
			count++
		}
	}
	for _, p := range l.plugins {
		for _, change := range p.changes {
			if change.ended != Always && change.ended <= by && change.right == Done && !change.failed {
				count++
			}
		}
	}
	return count
}
