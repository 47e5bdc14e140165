//go:build linux

package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
)

// simulation is a host of processes in virtual time. It outlives managers and
// notes what no executor should ever be asked to do.
type simulation struct {
	mu        sync.Mutex
	processes map[string]*simulated
	starts    map[string]int
	wrongs    []string
	fault     func(call, id string) fault
	released  chan struct{} // ends hangs; of the bubble
}

// simulated is a process.
type simulated struct {
	attendant   *attendant // nil while no manager has it
	ignoresTerm bool
	unkillable  bool
	streams     [2]io.Closer
}

// fault is what happens to a call.
type fault int

const (
	noFault  fault = iota
	fails          // the call returns an error and does nothing
	hangs          // the call does its work when hangs are released
	lateDone       // the call does its work and hangs then
	slow           // the call takes longer than any limit, and returns
	panics
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

// setFault changes what happens to calls from now on, and whether those that
// hang return.
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
	entered map[string]string // the call in progress, by id
	exits   func(id string) error
	report  func(a *attendant, id string) // how an end is reported, with mu held
}

// executorOf makes the executor of the next manager; the processes of earlier
// ones have no attendant any more, as after a crash.
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

// call makes one call, with its fault, and notes it if it comes beside another
// one for the same id.
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
			return cerrdefs.ErrNotFound
		}
		if !process.unkillable && (signal == syscall.SIGKILL || !process.ignoresTerm) {
			a.dieLocked(id)
		}
		return nil
	})
}

// Runs returns the ids of all processes.
func (a *attendant) Runs() (ids []string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id := range a.processes {
		ids = append(ids, id)
	}
	return ids, nil
}

// Close ends what hangs.
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

// await stands for a look at the socket.
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
func reportLate(random *rand.Rand) func(a *attendant, id string) {
	return func(a *attendant, id string) {
		for range 1 + random.IntN(2) {
			time.AfterFunc(time.Duration(random.IntN(3000))*time.Millisecond, func() { _ = a.exits(id) })
		}
	}
}

// simulatedWorld installs plugins in real time and returns the config of
// managers on them, and their ids by name.
func simulatedWorld(t *testing.T, s *simulation, names ...string) (plugin.ManagerConfig, map[string]string) {
	t.Helper()
	w := newWorld(t).start()
	ids := map[string]string{}
	// They boot one after the other.
	groups := []string{"docker.volumedriver/1.0", "docker.networkdriver/1.0", "docker.authz/1.0"}
	for i, name := range names {
		ids[name] = w.create(name, groups[i%len(groups)])
	}
	w.Shutdown()
	config := w.config
	config.Store, config.Backoff = plugin.NewStore(), 0
	config.CreateExecutor = s.executorOf(reportOnce)
	return config, ids
}

// manage makes a manager of the plugins, with a store of its own.
func (s *simulation) manage(t *testing.T, config plugin.ManagerConfig) *plugin.Manager {
	t.Helper()
	s.enterBubble()
	config.Store = plugin.NewStore()
	pm, err := plugin.NewManagerAwaiting(config, s.await)
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
