// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/backend"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testseed"
)

var interleavings = flag.Int("interleavings", 15, "how many interleavings are played, unless -seed chooses one")

// TestInterleavings plays verbs, a boot after a crash, exits, reports and faults of
// the executor in random order, in virtual time. At any time a disabled or removed
// plugin has no process, or is visibly stopping. Once the faults have ended,
// enabled plugins run and others do not.
func TestInterleavings(t *testing.T) {
	count := *interleavings
	if _, chosen := testseed.Given(); chosen {
		count = 1
	}
	for number := range count {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			i := newInterleaving(t, testseed.Of(t))
			synctest.Test(t, i.play)
		})
	}
}

// interleaving is one play.
type interleaving struct {
	*simulation
	random *dice
	config plugin.ManagerConfig
	ids    map[string]string
	*plugin.Manager
}

// dice are random numbers for several goroutines.
type dice struct {
	mu     sync.Mutex
	random *rand.Rand
}

func (d *dice) roll(sides int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(sides)
}

func newInterleaving(t *testing.T, seed uint64) *interleaving {
	i := &interleaving{simulation: newSimulation(), random: &dice{random: rand.New(rand.NewPCG(seed, seed))}}
	i.config, i.ids = simulatedWorld(t, i.simulation, "a", "b", "c")
	i.config.LiveRestoreEnabled = i.random.roll(2) == 0
	i.config.BootWait = time.Nanosecond
	i.config.CreateExecutor = i.executorOf(i.report)
	return i
}

// report reports an exit in one of the ways of real executors.
func (i *interleaving) report(a *attendant, id string) {
	switch i.random.roll(3) {
	case 0:
		reportInside(a, id)
	case 1:
		reportOnce(a, id)
	default:
		for range 1 + i.random.roll(2) {
			time.AfterFunc(time.Duration(i.random.roll(3000))*time.Millisecond, func() { _ = a.exits(id) })
		}
	}
}

func (i *interleaving) play(t *testing.T) {
	crashed := i.manage(t, i.config)
	for name := range i.ids {
		if i.random.roll(3) > 0 {
			assert.NilError(t, crashed.Enable(name, nil))
		}
	}
	i.setFault(i.anyFault, false)
	i.Manager = i.manage(t, i.config)
	var players sync.WaitGroup
	for range 3 {
		players.Go(func() {
			for range 10 {
				time.Sleep(time.Duration(i.random.roll(6000)) * time.Millisecond)
				i.step(t, slices.Sorted(maps.Keys(i.ids))[i.random.roll(len(i.ids))])
			}
		})
	}
	players.Wait()
	i.checkVisible(t)
	i.endFaults()
	time.Sleep(10 * time.Minute)
	i.checkSettled(t)
	checkShutdown(t, i.Manager)
	for name, id := range i.ids {
		if !i.config.LiveRestoreEnabled {
			assert.Check(t, !i.lives(id), "%s outlived the manager", name)
		}
	}
	checkShutdown(t, crashed)
	assert.DeepEqual(t, i.wrongs, []string(nil))
}

// anyFault is called with the simulation's lock held.
func (i *interleaving) anyFault(string, string) fault {
	switch n := i.random.roll(100); {
	case n < 10:
		return fails
	case n < 13:
		return hangs
	case n < 15:
		return lateDone
	case n < 19:
		return slow
	case n < 20:
		return panics
	}
	return noFault
}

// step does one thing to one plugin.
func (i *interleaving) step(t *testing.T, name string) {
	id := i.ids[name]
	elapsed := took(func() {
		switch i.random.roll(10) {
		case 0, 1:
			_ = i.Enable(name, nil)
		case 2, 3:
			_ = i.Disable(name, nil)
		case 4:
			_ = i.Disable(name, &backend.PluginDisableConfig{ForceDisable: true})
		case 5:
			if i.random.roll(4) == 0 {
				_ = i.Remove(name, forced)
			}
		case 6, 7:
			i.die(id)
		case 8:
			_ = i.HandleExitEvent(id) // late, or about another process
		default:
			i.change(id, func(process *simulated) {
				process.ignoresTerm, process.unkillable = i.random.roll(2) == 0, i.random.roll(4) == 0
			})
		}
	})
	// A verb may wait for another verb on the same plugin.
	assert.Check(t, elapsed <= 3*(startBound+stopBound), "a verb took %s", elapsed)
}

func (s *simulation) change(id string, change func(process *simulated)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if process := s.processes[id]; process != nil {
		change(process)
	}
}

func (i *interleaving) endFaults() {
	i.release()
	for _, id := range i.ids {
		i.change(id, func(process *simulated) { process.unkillable = false })
	}
}

// checkVisible checks the conditions that hold at any time.
func (i *interleaving) checkVisible(t *testing.T) {
	for name, id := range i.ids {
		p, err := i.Get(id)
		if err != nil {
			assert.Check(t, !i.lives(id), "%s was removed, and its process lives", name)
			continue
		}
		status, err := i.Status(id)
		assert.NilError(t, err)
		if !p.IsEnabled() && i.lives(id) {
			assert.Equal(t, status.State, "stopping", "%s is disabled, and its process lives", name)
		}
	}
}

// checkSettled checks the conditions that hold once the faults have ended.
func (i *interleaving) checkSettled(t *testing.T) {
	for name, id := range i.ids {
		p, err := i.Get(id)
		if err != nil || !p.IsEnabled() {
			assert.Check(t, !i.lives(id), "%s is not enabled, and its process lives", name)
			continue
		}
		status, err := i.Status(id)
		assert.NilError(t, err)
		assert.Check(t, i.lives(id), "%s is enabled, %s, and has no process", name, status.State)
		assert.Equal(t, status.State, "running", name)
	}
}
