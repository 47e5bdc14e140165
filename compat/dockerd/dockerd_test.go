// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dockerd

import (
	"flag"
	"testing"
)

// TestStory runs all kinds of plugins on both daemons.
func TestStory(t *testing.T) { sideBySide(t, "story", inStory) }

// TestLateLegacyPlugins starts daemons before plugins of the first generation.
func TestLateLegacyPlugins(t *testing.T) { sideBySide(t, "late", inLate) }

// TestSSHFS runs the session with which docker introduced managed plugins: a volume
// that is a directory of another machine.
func TestSSHFS(t *testing.T) { sideBySide(t, "sshfs", inSSHFS) }

// TestTakeover hands running plugins and a container from stock to ours, back and
// over again. No process ends, and no line of output is lost.
func TestTakeover(t *testing.T) {
	t.Parallel() // most of a story is waiting
	storyRun{Story: "takeover", Daemon: "stock"}.run(t, theBuild(t))
}

var long = flag.Bool("long", false, "play the long form of the story of a swarm")

// TestSwarm runs plugins as services of three managers: all stock, all ours, and
// both together.
func TestSwarm(t *testing.T) {
	t.Parallel() // most of a story is waiting
	built := theBuild(t)
	var stock, ours, mixed []record
	play := func(t *testing.T, name string, into *[]record, one, two, three string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nodes := []furnishing{{"one", one}, {"two", two}, {"three", three}}
			r := storyRun{Story: "swarm", Daemon: name, Nodes: nodes}
			if *long {
				r.Long = "swarm-long"
			}
			*into = r.run(t, built).Records
		})
	}
	t.Run("run", func(t *testing.T) {
		play(t, "stock", &stock, "stock", "stock", "stock")
		play(t, "dovetail", &ours, "dovetail", "dovetail", "dovetail")
		play(t, "mixed", &mixed, "dovetail", "stock", "dovetail")
	})
	if !t.Failed() {
		compare(t, stock, ours, inSwarm)
		compare(t, stock, mixed, inSwarm)
	}
}

// sideBySide plays a story with both daemons, and compares.
func sideBySide(t *testing.T, story string, accepted []difference) (stock, ours []record) {
	t.Helper()
	t.Parallel() // most of a story is waiting
	built := theBuild(t)
	t.Run("played", func(t *testing.T) {
		t.Run("stock", func(t *testing.T) {
			t.Parallel()
			stock = storyRun{Story: story, Daemon: "stock"}.run(t, built).Records
		})
		t.Run("dovetail", func(t *testing.T) {
			t.Parallel()
			ours = storyRun{Story: story, Daemon: "dovetail"}.run(t, built).Records
		})
	})
	if !t.Failed() {
		compare(t, stock, ours, accepted)
	}
	return stock, ours
}
