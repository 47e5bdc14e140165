package harness

import (
	"fmt"
	"strings"
)

// What ends a driver. An orderly end is there to tell what a crash does from
// what a manager does anyway.
const (
	Killed   = "SIGKILL"
	PowerCut = "power cut"
	Orderly  = "orderly end"
)

// Dovetails is the subject of our own manager.
const Dovetails = "Dovetail"

// Figures is what a harness found out. Those of one harness, subject, file
// system and sabotage replace earlier ones.
type Figures struct {
	Harness    string // what ends a driver: see below
	Subject    string // whose manager
	FileSystem string
	// Sabotage is the sync that was left out on purpose; empty for none.
	Sabotage string `json:",omitempty"`

	Crashes    int
	Operations int // acknowledged with success
	Lost       int // acknowledged, and not there after the crash; or there, and never asked for
	Violations int // of invariants, as CheckRoot finds them, and wrong answers
	// Unopened is after how many crashes no manager could be opened.
	Unopened int `json:",omitempty"`
	// Kinds are the violations by what is wrong, where that matters.
	Kinds  map[string]int `json:",omitempty"`
	Date   string
	Commit string
}

func (f Figures) key() string {
	return strings.Join([]string{f.Harness, f.Subject, f.FileSystem, f.Sabotage}, "\x00")
}

// Add counts a crash.
func (f *Figures) Add(c Crash) {
	f.Crashes++
	f.Operations += c.Ledger.Acknowledged(c.From)
	f.Lost += len(c.Lost())
	f.Violations += len(c.Violations())
}

func (f Figures) String() string {
	return fmt.Sprintf("%d crashes, %d operations acknowledged, %d lost, %d violations", f.Crashes, f.Operations, f.Lost, f.Violations)
}
