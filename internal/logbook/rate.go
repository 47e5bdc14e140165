// SPDX-License-Identifier: Apache-2.0

package logbook

import (
	"sync"
	"time"
)

const (
	// outputRate is how many bytes a second one plugin may write to the
	// daemon's log, over time: 128 short lines, more than journald's default
	// takes of a service's share. A plugin that floods can't fill the disk
	// beyond 3 GB a day by it.
	outputRate = 32 << 10
	// outputBurst is what it may write at once: the stack trace of a large
	// program, which is what an operator looks for.
	outputBurst = 1 << 20
	// lineOverhead is what a line costs beyond its text: time, id and name.
	lineOverhead = 256
)

// Rate is a token bucket for what one plugin writes to the daemon's log. A
// plugin that has emptied it is muted until a quarter is there again, so that
// whole passages are missing instead of every other line. The zero value is a
// full bucket. It is safe for concurrent use.
type Rate struct {
	mu      sync.Mutex
	spent   float64 // bytes of the burst, at the time of the last line
	at      time.Time
	muted   bool
	missing int // lines, since the plugin was muted
}

// verdict is what becomes of a line.
type verdict struct {
	write bool
	// mutes is whether this line is the first one to be left out.
	mutes bool
	// missing is how many lines were left out before this one.
	missing int
}

// take asks for a line at a time. Its length is asked for only when the line may
// be written: a flood that is left out costs nothing more.
func (r *Rate) take(now time.Time, length func() int) verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spent = max(0, r.spent-max(0, now.Sub(r.at).Seconds())*outputRate)
	r.at = now
	var cost float64
	room := outputBurst - r.spent
	fits := !r.muted || outputBurst/4 <= room
	if fits {
		cost = float64(length() + lineOverhead)
		fits = r.muted || cost <= room
	}
	if !fits {
		mutes := !r.muted
		r.muted = true
		r.missing++
		return verdict{mutes: mutes}
	}
	r.spent += cost
	return verdict{write: true, missing: r.unmuteLocked()}
}

// end returns how many lines were left out and not yet reported by a verdict.
func (r *Rate) end() (missing int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unmuteLocked()
}

func (r *Rate) unmuteLocked() (missing int) {
	missing, r.missing, r.muted = r.missing, 0, false
	return missing
}

// logCost returns how many bytes a plain text takes in the daemon's log. Its
// formatter may escape the text as a string of Go, or of JSON that is safe in HTML.
func logCost(plain string) int {
	cost := len(plain)
	for i := range len(plain) {
		switch plain[i] {
		case '\\', '"':
			cost++
		case '<', '>', '&':
			cost += len(`\u003c`) - 1
		}
	}
	return cost
}
