package containerd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"

	"github.com/dovetailhq/plugin/executor/internal/attend"
	"github.com/dovetailhq/plugin/executor/internal/hold"
	"github.com/dovetailhq/plugin/internal/dirlock"
	"github.com/dovetailhq/plugin/internal/logging"
)

// Executor runs plugins as tasks of a containerd. Make one with [New]. Its
// methods may be called concurrently, but for the same id only one of Create
// and Restore at a time.
type Executor struct {
	client   *containerd.Client
	root     string
	shim     string
	shimOpts any
	exits    ExitHandler
	limits   limits

	hold *hold.Hold
	// ctx has the values of New's and the namespace; it ends as Close begins.
	ctx   context.Context
	calls *attend.Calls
	// followed closes when the event stream is followed no more.
	followed chan struct{}
	// shut ends the executor, once.
	shut func() error

	mu    sync.Mutex
	runs  map[string]*run
	ended map[string]ending
	// watched are the runs whose goroutine has not ended. It includes those
	// whose end is being reported.
	watched map[*run]struct{}
	// silent says that no end is reported any more.
	silent bool
}

// New returns an executor that runs plugins in namespace ns of the containerd
// that cli talks to, under the runtime shim with shimOpts; an empty shim means
// containerd's default. Named pipes are made below rootDir, which is made if
// absent. The executor tells exitHandler the end of every run.
//
// One executor at a time uses rootDir, whatever its containerd and namespace:
// Runs lists what was made from there, and a manager ends runs that it does not
// know. If another process uses rootDir, the error is a [LockedError]. An older
// executor of this process is closed, as if its daemon had ended; two managers
// of one process therefore need a directory each.
//
// The executor works until Close is called. Of ctx it takes the values alone:
// its end ends nothing, so that a daemon whose context ends by a signal can
// still stop its plugins. New does not close cli, and does not need containerd
// to answer yet.
func New(ctx context.Context, rootDir string, cli *containerd.Client, ns string, exitHandler ExitHandler, shim string, shimOpts interface{}) (*Executor, error) {
	root, err := filepath.Abs(rootDir)
	if err != nil {
		return nil, err
	}
	e := &Executor{
		client:   cli,
		root:     root,
		shim:     shim,
		shimOpts: shimOpts,
		exits:    exitHandler,
		limits:   defaultLimits,
		calls:    attend.New(namespaces.WithNamespace(context.WithoutCancel(ctx), ns)),
		followed: make(chan struct{}),
		runs:     make(map[string]*run),
		ended:    make(map[string]ending),
		watched:  make(map[*run]struct{}),
	}
	e.ctx = e.calls.Context()
	e.shut = sync.OnceValue(e.close)
	if e.hold, err = hold.Take(root, e); err != nil {
		return nil, e.refused(err)
	}
	go e.follow(ns)
	return e, nil
}

// refused gives the error of a lock that another process has its type.
func (e *Executor) refused(err error) error {
	if errors.Is(err, dirlock.ErrLocked) {
		return &LockedError{Directory: e.root}
	}
	return err
}

// IsRunning reports whether the main process of plugin id lives. That
// includes one that an earlier executor left and that was not restored yet.
// A run is over once its end can be told: when LastExit knows about it and
// its output was delivered.
//
// The error is of class not found if containerd has no task of id: it never
// had, or the run is over. Other errors mean that it is not known whether the
// process lives; they are of class unavailable if containerd, or the task's
// shim, has not answered within ten seconds.
func (e *Executor) IsRunning(id string) (bool, error) {
	if e.run(id) != nil {
		return true, nil
	}
	ctx, cancel := e.bounded(e.limits.outage)
	defer cancel()
	task, err := e.task(ctx, id)
	if err != nil {
		return false, fmt.Errorf("find plugin %s: %w", id, err)
	}
	if task.Process == nil {
		return false, notFoundError{fmt.Errorf("plugin %s has no process", id)}
	}
	return task.lives(), nil
}

// Signal sends signal to the main process of plugin id. The error is of class
// not found if that does not run, and unavailable if containerd has not
// answered within ten seconds; the signal may arrive later then. It is
// unavailable as well once a newer executor of this process has taken the
// directory over.
func (e *Executor) Signal(id string, signal syscall.Signal) error {
	if !e.hold.HeldBy(e) {
		return unavailableError{fmt.Errorf("signal plugin %s: %w", id, errTakenOver)}
	}
	if r := e.run(id); r != nil && signal == syscall.SIGKILL {
		r.killed.Store(true)
	}
	ctx, cancel := e.bounded(e.limits.outage)
	defer cancel()
	err := e.persist(ctx, func() error {
		_, err := e.client.TaskService().Kill(ctx, &tasks.KillRequest{ContainerID: id, Signal: uint32(signal)})
		return err
	})
	if err == nil {
		return nil
	}
	// A shim on its way out answers one thing or another.
	if task, unknown := e.task(ctx, id); unknown == nil && !task.lives() {
		return notFoundError{fmt.Errorf("signal plugin %s: it is not running", id)}
	}
	return fmt.Errorf("signal plugin %s: %w", id, native(ctx, err))
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
// reported once Close has returned. A Create or Restore in progress fails, and
// so do later ones.
//
// Close waits five seconds at most, for example for an exit handler that does
// not return; the error then names the plugins that it gave up on. Close may be
// called more than once, and returns the same each time.
func (e *Executor) Close() error { return e.shut() }

func (e *Executor) close() error {
	limit, cancel := context.WithTimeout(context.Background(), e.limits.close)
	defer cancel()
	var problems []error
	for _, id := range e.calls.Close(limit) {
		problems = append(problems, unavailableError{fmt.Errorf("close executor: a start of plugin %s hangs", id)})
	}
	select {
	case <-e.followed:
	case <-limit.Done():
	}
	problems = append(problems, e.awaitRuns(limit))
	e.mu.Lock()
	e.silent = true
	e.mu.Unlock()
	e.hold.Release(e)
	return errors.Join(problems...)
}

// awaitRuns waits until no run is watched.
func (e *Executor) awaitRuns(limit context.Context) error {
	e.mu.Lock()
	runs := slices.Collect(maps.Keys(e.watched))
	e.mu.Unlock()
	var problems []error
	for _, r := range runs {
		select {
		case <-r.watched:
		case <-limit.Done():
			problems = append(problems, unavailableError{fmt.Errorf("close executor: the end of plugin %s is still being handled", r.id)})
		}
	}
	return errors.Join(problems...)
}

func (e *Executor) run(id string) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs[id]
}

// report tells the handler of the end of id.
func (e *Executor) report(id string) {
	e.mu.Lock()
	silent := e.silent
	e.mu.Unlock()
	if silent {
		return
	}
	if err := e.exits.HandleExitEvent(id); err != nil {
		logging.L().WithError(err).WithField("plugin", id).Warn("exit of plugin was not handled")
	}
}
