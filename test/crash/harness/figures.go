// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"strings"
)

// The ends of a driver. Orderly ends separate the effect of a crash from
// violations without one.
const (
	Killed   = "SIGKILL"
	PowerCut = "power cut"
	Orderly  = "orderly end"
)

// Dovetails is the subject of our own manager.
const Dovetails = "Dovetail"

// Figures is the result of a harness. It replaces earlier figures with the same
// harness, subject, file system and sabotage.
type Figures struct {
	Harness    string // how drivers end: see below
	Subject    string // the name of the manager
	FileSystem string
	// Sabotage is the sync that was left out on purpose. Empty is none.
	Sabotage string `json:",omitempty"`

	Crashes    int
	Operations int // acknowledged without error
	Lost       int // acknowledged and missing after the crash, or never asked for
	Violations int // findings of CheckRoot, and wrong results
	// Unopened is the number of crashes after which no manager could be opened.
	Unopened int `json:",omitempty"`
	// Kinds counts violations by kind, for subjects that need it.
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
