// SPDX-License-Identifier: Apache-2.0

package drive

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/dovetailhq/plugin/test/crash/history"
)

// Paths are the directories of a driver's manager.
type Paths struct {
	Root     string
	ExecRoot string
}

// Observation is the result of a driver with -observe.
type Observation struct {
	Plugins map[string]history.State
	// Problems are violated invariants.
	Problems []string
	// Error is the reason why no manager can be opened.
	Error string `json:",omitempty"`
}

// Subject is a kind of manager.
type Subject struct {
	// Open makes a manager, as a daemon does at its start.
	Open func(Paths) (Manager, error)
	// Check returns violated invariants. No verb is in progress then.
	Check func(Paths, Manager) []string
	// Versions are the versions of its plugins.
	Versions Versions
}

// Main is the main function of a driver. With the flag -observe it prints an
// [Observation] and ends. Otherwise it prints events until it is killed. With
// -step each verb waits for a byte on standard input.
func Main(subject Subject) {
	var paths Paths
	flag.StringVar(&paths.Root, "root", "", "directory of persistent data")
	flag.StringVar(&paths.ExecRoot, "exec-root", "", "directory of sockets")
	seed := flag.Uint64("seed", 0, "what the verbs depend on")
	workers := flag.Int("workers", 3, "how many call verbs at once")
	step := flag.Bool("step", false, "call a verb for each byte on standard input")
	observe := flag.Bool("observe", false, "print what is there, and end")
	flag.Parse()
	if err := run(subject, paths, *seed, *workers, *step, *observe); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(subject Subject, paths Paths, seed uint64, workers int, step, observe bool) error {
	if observe {
		return json.NewEncoder(os.Stdout).Encode(look(subject, paths))
	}
	manager, err := subject.Open(paths)
	if err != nil {
		return err
	}
	defer manager.Shutdown()
	d := &driver{
		manager:  manager,
		versions: subject.Versions,
		turns:    turns(step, os.Stdin),
		out:      json.NewEncoder(os.Stdout),
	}
	return d.drive(seed, workers)
}

// turns returns a channel with one turn for each byte of in, or with endless
// turns.
func turns(step bool, in io.Reader) <-chan struct{} {
	turns := make(chan struct{})
	go func() {
		defer close(turns)
		turn := make([]byte, 1)
		for {
			if step {
				if _, err := in.Read(turn); err != nil {
					return
				}
			}
			turns <- struct{}{}
		}
	}()
	return turns
}

// look opens a manager, collects garbage, and compares memory with the disk.
func look(subject Subject, paths Paths) Observation {
	manager, err := subject.Open(paths)
	if err != nil {
		return Observation{Error: err.Error()}
	}
	defer manager.Shutdown()
	manager.GC()
	found, err := Observe(manager)
	if err != nil {
		return Observation{Error: err.Error()}
	}
	return Observation{Plugins: found, Problems: subject.Check(paths, manager)}
}
