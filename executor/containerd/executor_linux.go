package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"

	"github.com/dovetailhq/plugin/internal/logging"
)

// Executor runs plugins as tasks of a containerd. Make one with [New]. Its
// methods may be called concurrently, but for the same id only one of Create
// and Restore at a time.
type Executor struct {
	// ctx is that of New, with the namespace; it ends when Close is called.
	ctx      context.Context
	cancel   context.CancelFunc
	client   *containerd.Client
	root     string
	shim     string
	shimOpts any
	exits    ExitHandler
	outage   time.Duration

	// calls are those of Create and Restore that are under way.
	calls sync.WaitGroup
	// followed closes when the event stream is followed no more.
	followed chan struct{}

	mu     sync.Mutex
	closed bool
	runs   map[string]*run
	ended  map[string]ending
}

// New returns an executor that runs plugins in namespace ns of the containerd
// that cli talks to, under the runtime shim with shimOpts; an empty shim means
// containerd's default. Named pipes are made below rootDir, which is made if
// absent. The executor tells exitHandler the end of every run.
//
// The executor works until ctx ends or Close is called, whichever comes
// first. It does not close cli. New does not need containerd to answer yet;
// other calls wait up to ten seconds for one that can't be reached.
func New(ctx context.Context, rootDir string, cli *containerd.Client, ns string, exitHandler ExitHandler, shim string, shimOpts interface{}) (*Executor, error) {
	root, err := filepath.Abs(rootDir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(namespaces.WithNamespace(ctx, ns))
	e := &Executor{
		ctx: ctx, cancel: cancel,
		client:   cli,
		root:     root,
		shim:     shim,
		shimOpts: shimOpts,
		exits:    exitHandler,
		outage:   outage,
		followed: make(chan struct{}),
		runs:     make(map[string]*run),
		ended:    make(map[string]ending),
	}
	go e.follow(ns)
	return e, nil
}

// IsRunning reports whether the main process of plugin id lives. That
// includes one that an earlier executor left and that was not restored yet.
// A run is over once its end can be told: when LastExit knows about it and
// its output was delivered.
func (e *Executor) IsRunning(id string) (bool, error) {
	if e.run(id) != nil {
		return true, nil
	}
	found, err := e.task(id)
	if err != nil {
		return false, fmt.Errorf("find plugin %s: %w", id, err)
	}
	return found.lives(), nil
}

// Signal sends signal to the main process of plugin id. The error is of class
// not found if that does not run.
func (e *Executor) Signal(id string, signal syscall.Signal) error {
	if r := e.run(id); r != nil && signal == syscall.SIGKILL {
		r.killed.Store(true)
	}
	err := e.persist(func() error {
		_, err := e.client.TaskService().Kill(e.ctx, &tasks.KillRequest{ContainerID: id, Signal: uint32(signal)})
		return err
	})
	if isGone(err) {
		return notFoundError{fmt.Errorf("signal plugin %s: it is not running", id)}
	}
	if err != nil {
		return fmt.Errorf("signal plugin %s: %w", id, native(err))
	}
	return nil
}

// ProcessEvent takes an event about the process ei.ProcessID of plugin id from
// whoever else listens to containerd. Only the end of the main process means
// something: if that really is over, the exit handler is told, once, as it is
// without this call.
func (e *Executor) ProcessEvent(id string, et libcontainerdtypes.EventType, ei libcontainerdtypes.EventInfo) error {
	if et != libcontainerdtypes.EventExit || ei.ProcessID != "" && ei.ProcessID != id {
		return nil
	}
	if r := e.run(id); r != nil {
		r.lookAgain()
	}
	return nil
}

// LastExit returns how the newest ended run of plugin id ended: its exit code,
// 128+n if it ended by signal n, and whether the kernel killed it for want of
// memory, as far as containerd told. ok is false if no run has ended since
// New, or if the code is not known.
func (e *Executor) LastExit(id string) (code int, oomKilled bool, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	end := e.ended[id]
	return end.code, end.oomKilled, end.known
}

// Pid returns the main process of plugin id in containerd's pid namespace. ok
// is false if it is not running, or was not restored yet.
func (e *Executor) Pid(id string) (pid int, ok bool) {
	r := e.run(id)
	if r == nil {
		return 0, false
	}
	return int(r.pid), true
}

// Close stops watching all runs, without ending any: what they write is kept
// for the executor that restores them, their streams are closed, and no end is
// reported once Close has returned. A Create that is under way fails. Close
// may be called more than once.
func (e *Executor) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	e.calls.Wait()
	<-e.followed

	e.mu.Lock()
	runs := e.allRunsLocked()
	e.mu.Unlock()
	for _, r := range runs {
		<-r.watched
	}
	return nil
}

// enter begins a call of Create or Restore, once id has no run that is ending;
// leave ends it. A run that lives is a conflict.
func (e *Executor) enter(id string) (leave func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.runs[id]; r != nil {
		e.mu.Unlock()
		found, err := e.task(id)
		if err == nil && !found.lives() {
			r.lookAgain()
			select {
			case <-r.over:
			case <-e.ctx.Done():
			}
		}
		e.mu.Lock()
	}
	if e.runs[id] != nil {
		return nil, conflictError{errors.New("it is running already")}
	}
	if e.closed || e.ctx.Err() != nil {
		return nil, unavailableError{errors.New("executor is closed")}
	}
	e.calls.Add(1)
	return e.calls.Done, nil
}

func (e *Executor) run(id string) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs[id]
}

func (e *Executor) allRunsLocked() []*run {
	all := make([]*run, 0, len(e.runs))
	for _, r := range e.runs {
		all = append(all, r)
	}
	return all
}

// report tells the handler of the end of id.
func (e *Executor) report(id string) {
	if err := e.exits.HandleExitEvent(id); err != nil {
		logging.L().WithError(err).WithField("plugin", id).Warn("exit of plugin was not handled")
	}
}
