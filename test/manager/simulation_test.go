// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testworld"
)

// simulation is a host of processes in virtual time. It outlives managers, and
// records calls that a manager must never make.
type simulation struct {
	mu        sync.Mutex
	processes map[string]*simulated
	starts    map[string]int
	wrongs    []string
	fault     func(call, id string) fault
	released  chan struct{} // ends hangs; belongs to the bubble
	resumes   time.Time     // ends pauses
}

// simulated is a process.
type simulated struct {
	attendant   *attendant // nil while no manager has the process
	ignoresTerm bool
	unkillable  bool
	streams     [2]io.Closer
}

// fault is a way in which a call fails.
type fault int

const (
	noFault  fault = iota
	fails          // the call returns an error and does nothing
	hangs          // the call does its work when hangs are released
	lateDone       // the call does its work, and then hangs
	slow           // the call takes longer than any limit, and returns
	panics
	paused // the call does its work when the daemon resumes
)

// slowCall is longer than a start, or a stop, may take.
const slowCall = 40 * time.Second

var errSimulated = errors.New("simulated fault")

func newSimulation() *simulation {
	return &simulation{
		processes: map[string]*simulated{},
		starts:    map[string]int{},
		fault:     func(string, string) fault { return noFault },
	}
}

func (s *simulation) lives(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.processes[id] != nil
}

// setFault sets the faults of later calls. With release it also ends the calls that
// hang.
func (s *simulation) setFault(chosen func(call, id string) fault, release bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = chosen
	if release {
		close(s.released)
		s.released = make(chan struct{})
	}
}

// release ends all faults.
func (s *simulation) release() { s.setFault(func(string, string) fault { return noFault }, true) }

func (s *simulation) wrong(format string, args ...any) {
	s.wrongs = append(s.wrongs, fmt.Sprintf(format, args...))
}

// attendant is the executor of one manager.
type attendant struct {
	*simulation
	entered map[string]string // the call in progress, by ID
	exits   func(id string) error
	report  func(a *attendant, id string) // reports an end, with mu held
}

// executorOf makes the executor of the next manager. Processes of earlier managers
// no longer have an attendant, as after a crash.
func (s *simulation) executorOf(report func(a *attendant, id string)) plugin.ExecutorCreator {
	return func(pm *plugin.Manager) (plugin.Executor, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, process := range s.processes {
			process.attendant = nil
		}
		return &attendant{simulation: s, entered: map[string]string{}, exits: pm.HandleExitEvent, report: report}, nil
	}
}

// call makes one call, with its fault. It records a call that overlaps with another
// call for the same ID.
func (a *attendant) call(name, id string, do func() error) error {
	a.mu.Lock()
	if other := a.entered[id]; other != "" {
		a.wrong("%s during %s of %s", name, other, id[:4])
	}
	a.entered[id] = name
	chosen, released := a.fault(name, id), a.released
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.entered[id] = ""
	}()
	switch chosen {
	case fails:
		return errSimulated
	case panics:
		panic("simulated")
	case hangs:
		<-released
	case slow:
		time.Sleep(slowCall)
	case paused:
		time.Sleep(time.Until(a.resumes))
	case lateDone:
		defer func() { <-released }()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return do()
}

func (a *attendant) Create(id string, _ specs.Spec, stdout, stderr io.WriteCloser) error {
	err := a.call("create", id, func() error {
		if a.processes[id] != nil {
			a.wrong("a second process of %s", id[:4])
		}
		a.processes[id] = &simulated{attendant: a, streams: [2]io.Closer{stdout, stderr}}
		a.starts[id]++
		return nil
	})
	if err != nil {
		err = errors.Join(err, stdout.Close(), stderr.Close())
	}
	return err
}

func (a *attendant) IsRunning(id string) (lives bool, err error) {
	err = a.call("look", id, func() error {
		lives = a.processes[id] != nil
		return nil
	})
	return lives, err
}

func (a *attendant) Restore(id string, stdout, stderr io.WriteCloser) (lives bool, err error) {
	err = a.call("restore", id, func() error {
		process := a.processes[id]
		if lives = process != nil; lives {
			process.attendant, process.streams = a, [2]io.Closer{stdout, stderr}
		}
		return nil
	})
	if !lives {
		err = errors.Join(err, stdout.Close(), stderr.Close())
	}
	return lives, err
}

func (a *attendant) Signal(id string, signal syscall.Signal) error {
	return a.call("signal", id, func() error {
		process := a.processes[id]
		if process == nil {
			return errdefs.ErrNotFound
		}
		if !process.unkillable && (signal == syscall.SIGKILL || !process.ignoresTerm) {
			a.dieLocked(id)
		}
		return nil
	})
}

// Runs returns the IDs of all processes.
func (a *attendant) Runs() (ids []string, err error) {
	err = a.call("runs", allRuns, func() error {
		ids = slices.Collect(maps.Keys(a.processes))
		return nil
	})
	return ids, err
}

// allRuns takes the place of an ID in calls for all runs.
const allRuns = "all runs"

// Close ends the calls that hang.
func (a *attendant) Close() error {
	a.setFault(a.fault, true)
	return nil
}

// die ends a process, as a crash does.
func (s *simulation) die(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dieLocked(id)
}

func (s *simulation) dieLocked(id string) {
	process := s.processes[id]
	if process == nil {
		return
	}
	delete(s.processes, id)
	for _, stream := range process.streams {
		_ = stream.Close()
	}
	if process.attendant != nil {
		process.attendant.report(process.attendant, id)
	}
}

// await takes the place of watching the socket.
func (s *simulation) await(ctx context.Context, dir, _ string) error {
	if s.lives(filepath.Base(dir)) {
		return nil
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// Ways to report an end.
func reportInside(a *attendant, id string) { _ = a.exits(id) }
func reportOnce(a *attendant, id string)   { go a.exits(id) }

// simulatedWorld installs plugins in real time. It returns the config for their
// managers, and the IDs by name.
func simulatedWorld(t *testing.T, s *simulation, names ...string) (plugin.ManagerConfig, map[string]string) {
	t.Helper()
	w := newWorld(t).start()
	ids := map[string]string{}
	// They boot one after the other.
	groups := []string{"docker.volumedriver/1.0", "docker.networkdriver/1.0", "docker.authz/1.0"}
	for i, name := range names {
		ids[name] = w.Create(name, groups[i%len(groups)])
	}
	w.Shutdown()
	config := w.Config
	config.Store, config.Backoff = plugin.NewStore(), 0
	config.CreateExecutor = s.executorOf(reportOnce)
	return config, ids
}

// manage makes a manager of the plugins, with a new Store.
func (s *simulation) manage(t *testing.T, config plugin.ManagerConfig) *plugin.Manager {
	t.Helper()
	s.enterBubble()
	config.Store = plugin.NewStore()
	pm, err := testworld.NewManagerAwaiting(config, s.await)
	assert.NilError(t, err)
	return pm
}

// enterBubble makes calls that hang wait in the bubble of the caller.
func (s *simulation) enterBubble() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released == nil {
		s.released = make(chan struct{})
	}
}
