package history

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Event tells that a verb is about to begin, or has returned. Events of one
// plugin follow each other: who began a verb on it waits for its end.
type Event struct {
	Operation
	Ended bool `json:",omitempty"`
	// Class and Error are the answer.
	Class Class  `json:",omitempty"`
	Error string `json:",omitempty"`
	// At is when, by the clock that all processes of the host share: a
	// beginning is noted before the verb is called, an end after it returned.
	At int64
}

// Always is after all events.
const Always = math.MaxInt64

// Ledger is what is known about all plugins. It is not safe for concurrent use.
type Ledger struct {
	// Problems are answers that were not right.
	Problems []string
	// Successes counts what was answered with success, by verb.
	Successes map[string]int

	plugins map[string]*plugin
	others  []Event // ends of verbs about no plugin that succeeded
}

// plugin is the history of one name.
type plugin struct {
	first   State
	changes []change
}

type change struct {
	begun, ended int64 // ended is Always while there was no answer
	right        Class // the answer that is right
	failed       bool  // it had another answer, and may have happened or not
	after        State
}

// NewLedger begins with what was found.
func NewLedger(found map[string]State) *Ledger {
	l := &Ledger{Successes: map[string]int{}, plugins: map[string]*plugin{}}
	for name, state := range found {
		l.plugins[name] = &plugin{first: state}
	}
	return l
}

// Record takes the next event.
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

// latest returns the state that the last right answer, or none yet, left.
func (p *plugin) latest() State {
	for _, change := range slices.Backward(p.changes) {
		if !change.failed {
			return change.after
		}
	}
	return p.first
}

// Compare holds what is found after a crash, or on a disk that lost its power,
// against the events. The crash came after from and before to. Each line of
// the answer is a plugin that is not as it may be: an acknowledged operation
// was lost, or one appeared that nobody began.
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

// Possible returns the states that a plugin may be found in after a crash that
// came after from and before to: that of the last right answer before it, and
// those of the verbs that had begun.
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

// Acknowledged counts the verbs that were answered with success by then.
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
