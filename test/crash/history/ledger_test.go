// SPDX-License-Identifier: Apache-2.0

package history

import (
	"testing"

	"gotest.tools/v3/assert"
)

var (
	absent  = State{}
	off     = State{Installed: true, Debug: "0", Version: "v1"}
	on      = State{Installed: true, Enabled: true, Debug: "0", Version: "v1"}
	create  = Operation{Verb: "create", Name: "p", Value: "v1"}
	enable  = Operation{Verb: "enable", Name: "p"}
	disable = Operation{Verb: "disable", Name: "p"}
)

func begin(op Operation, at int64) Event { return Event{Operation: op, At: at} }

func end(op Operation, at int64) Event { return Event{Operation: op, Ended: true, At: at} }

func ledgerOf(events ...Event) *Ledger {
	l := NewLedger(nil)
	for _, event := range events {
		l.Record(event)
	}
	return l
}

func TestPossible(t *testing.T) {
	events := []Event{begin(create, 10), end(create, 20), begin(enable, 30), end(enable, 40), begin(disable, 50)}
	l := ledgerOf(events...)
	tests := []struct {
		name     string
		from, to int64
		want     []State
	}{
		{"before all", 5, 5, []State{absent}},
		{"during the first", 15, 15, []State{absent, off}},
		{"between two", 25, 25, []State{off}},
		{"as it ended", 20, 20, []State{off}},
		{"as it began", 25, 30, []State{off, on}},
		{"over all", 5, 60, []State{absent, off, on, off}},
		{"unanswered", 45, 55, []State{on, off}},
		{"killed", Always, Always, []State{on, off}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.DeepEqual(t, l.Possible("p", tt.from, tt.to), tt.want)
		})
	}
	assert.DeepEqual(t, l.Possible("unheard of", Always, Always), []State{absent})
	assert.Equal(t, len(l.Problems), 0)
}

func TestCompare(t *testing.T) {
	l := ledgerOf(begin(create, 10), end(create, 20), begin(enable, 30))
	for _, right := range []State{off, on} {
		assert.Equal(t, len(l.Compare(map[string]State{"p": right}, Always, Always)), 0)
	}
	lost := l.Compare(nil, Always, Always)
	assert.Equal(t, len(lost), 1)
	assert.Equal(t, lost[0], "p is {Installed:false Enabled:false Debug: Version:}, may be [{Installed:true Enabled:false Debug:0 Version:v1} {Installed:true Enabled:true Debug:0 Version:v1}]")
	never := l.Compare(map[string]State{"p": on, "q": off}, Always, Always)
	assert.Equal(t, len(never), 1)
	assert.Equal(t, len(NewLedger(map[string]State{"p": on}).Compare(nil, Always, Always)), 1, "what was there before is gone")
}

func TestAcknowledged(t *testing.T) {
	collect := Operation{Verb: "collect"}
	l := ledgerOf(
		begin(create, 10), begin(collect, 11), end(collect, 15), end(create, 20),
		begin(create, 30), Event{Operation: create, Ended: true, Class: Conflict, At: 40},
		begin(enable, 50),
	)
	assert.Equal(t, len(l.Problems), 0)
	assert.DeepEqual(t, l.Successes, map[string]int{"create": 1, "collect": 1})
	assert.Equal(t, l.Acknowledged(12), 0)
	assert.Equal(t, l.Acknowledged(15), 1)
	assert.Equal(t, l.Acknowledged(Always), 2, "a refusal and a verb without an answer count")
}

func TestWrongAnswersAreProblems(t *testing.T) {
	failed := func(op Operation, at int64) Event {
		return Event{Operation: op, Ended: true, Class: Unexpected, Error: "disk on fire", At: at}
	}
	l := ledgerOf(
		begin(create, 10), failed(create, 20),
		begin(create, 30), end(create, 40),
		begin(create, 50), end(create, 60),
		failed(Operation{Verb: "collect"}, 70),
	)
	assert.Equal(t, len(l.Problems), 3)
	assert.Equal(t, l.Problems[0], `{Verb:create Name:p Value:v1 Force:false}: answer "unexpected", want "": disk on fire`)
	assert.Equal(t, l.Problems[1], `{Verb:create Name:p Value:v1 Force:false}: answer "", want "conflict": `)
	assert.Equal(t, l.Acknowledged(Always), 1)

	l = ledgerOf(begin(create, 10), failed(create, 20))
	assert.DeepEqual(t, l.Possible("p", Always, Always), []State{absent, off})
	l.Record(begin(enable, 30))
	l.Record(Event{Operation: enable, Ended: true, Class: NotFound, At: 40})
	assert.Equal(t, len(l.Problems), 1, "what failed is taken not to have happened")
	assert.DeepEqual(t, l.Possible("p", Always, Always), []State{absent})
}

func TestNowGoesOn(t *testing.T) {
	first := Now()
	assert.Check(t, first > 0)
	assert.Check(t, Now() >= first)
}
