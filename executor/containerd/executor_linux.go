// SPDX-License-Identifier: Apache-2.0

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
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/executor/internal/attend"
	"github.com/dovetailhq/plugin/executor/internal/hold"
	"github.com/dovetailhq/plugin/internal/class"
	"github.com/dovetailhq/plugin/internal/dirlock"
	"github.com/dovetailhq/plugin/internal/logging"
)

// Executor runs plugins as tasks of a containerd. Use [New] to make one. It is
// safe for concurrent use, with one exception: at most one call of Create or
// Restore may be in progress for each ID.
type Executor struct {
	client   *containerd.Client
	root     string
	shim     string
	shimOpts any
	exits    ExitHandler
	limits   limits

	hold *hold.Hold
	// ctx has the values of New's context and the namespace. Close cancels it.
	ctx   context.Context
	calls *attend.Calls
	// followed is closed when follow has returned.
	followed chan struct{}
	// closeOnce is close, which runs once.
	closeOnce func() error

	mu    sync.Mutex
	runs  map[string]*run
	ended map[string]ending
	// watched has the runs with a living goroutine, including runs whose end is
	// being reported.
	watched map[*run]struct{}
	// silent is set when no end may be reported any more.
	silent bool
}

// New returns an executor that runs plugins in namespace ns of the containerd of
// cli, with the given runtime shim and its options. An empty shim means
// containerd's default. The executor makes named pipes below rootDir, which it
// creates if necessary. It reports the end of every run to exitHandler.
//
// One executor at a time uses rootDir for a namespace of a containerd, because a
// manager ends the runs in Runs that it does not know. If another process does, New
// returns a [LockedError]. An older executor of this process is closed, as if its
// daemon had ended; two managers in one process therefore need two directories, or
// two namespaces. Daemons with different containerds, as the address of cli shows,
// can share rootDir.
//
// The executor works until Close is called. It uses the values of ctx but ignores
// its cancellation, so that a daemon can stop its plugins after a signal canceled
// its context. New does not wait for containerd. The caller closes cli after
// Close.
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
	e.closeOnce = sync.OnceValue(e.close)
	if e.hold, err = hold.Take(filepath.Join(root, lockName(cli, ns)), e); err != nil {
		return nil, e.refused(err)
	}
	go e.follow(ns)
	return e, nil
}

// lockName returns the name of the directory in rootDir that is locked for a
// namespace of a containerd.
func lockName(cli *containerd.Client, ns string) string {
	target := ""
	if cli != nil {
		if conn, ok := cli.Conn().(interface{ Target() string }); ok {
			target = conn.Target()
		}
	}
	return ".lock-" + digest.FromString(target + "\x00" + ns).Encoded()[:16]
}

// refused makes the error of a lock that another process holds a LockedError.
func (e *Executor) refused(err error) error {
	if errors.Is(err, dirlock.ErrLocked) {
		return &LockedError{Directory: e.root}
	}
	return err
}

// IsRunning reports whether the main process of plugin id is alive, also if an
// earlier executor started it and it was not restored yet. A run counts as alive
// until its output was delivered and LastExit returns its exit code.
//
// The error is of class NotFound if containerd has no task of id. Other errors
// mean that the state is unknown; they are of class Unavailable if containerd or
// the task's shim does not answer within ten seconds, and after Close.
func (e *Executor) IsRunning(id string) (bool, error) {
	if e.run(id) != nil && e.calls.Check() == nil {
		return true, nil
	}
	ctx, cancel := e.calls.Bounded(e.limits.outage)
	defer cancel()
	task, err := e.task(ctx, id)
	if err != nil {
		return false, fmt.Errorf("find plugin %s: %w", id, err)
	}
	if task.Process == nil {
		return false, class.NotFound(fmt.Errorf("plugin %s has no process", id))
	}
	return task.lives(), nil
}

// Signal sends signal to the main process of plugin id. The error is of class
// NotFound if the process is not running. It is of class Unavailable if containerd
// does not answer within ten seconds, in which case the signal can still arrive,
// and after Close or after a newer executor of this process has taken over the
// directory.
func (e *Executor) Signal(id string, signal syscall.Signal) error {
	if err := e.calls.Check(); err != nil {
		return class.Unavailable(fmt.Errorf("signal plugin %s: %w", id, err))
	}
	if !e.hold.HeldBy(e) {
		return class.Unavailable(fmt.Errorf("signal plugin %s: %w", id, errTakenOver))
	}
	if r := e.run(id); r != nil && signal == syscall.SIGKILL {
		r.killed.Store(true)
	}
	ctx, cancel := e.calls.Bounded(e.limits.outage)
	defer cancel()
	err := e.retryLost(ctx, func() error {
		_, err := e.client.TaskService().Kill(ctx, &tasks.KillRequest{ContainerID: id, Signal: uint32(signal)})
		return err
	})
	if err == nil {
		return nil
	}
	// The error of a shim that is exiting is not specified: look at the task.
	if task, unknown := e.task(ctx, id); unknown == nil && !task.lives() {
		return class.NotFound(fmt.Errorf("signal plugin %s: not running", id))
	}
	return fmt.Errorf("signal plugin %s: %w", id, native(ctx, err))
}

// ProcessEvent is for callers that also listen to containerd's events. If the event
// is the exit of the main process of plugin id, the executor checks the run. An
// end is reported to the exit handler only if the run has ended, and only once.
// The error is always nil.
func (e *Executor) ProcessEvent(id string, et libcontainerdtypes.EventType, ei libcontainerdtypes.EventInfo) error {
	if et != libcontainerdtypes.EventExit || ei.ProcessID != "" && ei.ProcessID != id {
		return nil
	}
	if r := e.run(id); r != nil {
		r.recheck()
	}
	return nil
}

// LastExit returns the exit code of the last ended run of plugin id, which is
// 128+n after signal n, and whether containerd reported that the OOM killer killed
// it. ok is false if no run has ended since New, or if the code is unknown.
func (e *Executor) LastExit(id string) (code int, oomKilled bool, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	end := e.ended[id]
	return end.code, end.oomKilled, end.known
}

// Pid returns the PID of the main process of plugin id in containerd's PID
// namespace. ok is false if the plugin is not running, or was not restored yet.
func (e *Executor) Pid(id string) (pid int, ok bool) {
	r := e.run(id)
	if r == nil {
		return 0, false
	}
	return int(r.pid), true
}

// Close stops watching the runs but does not stop them. It closes their streams;
// the pipes keep their output for the executor that restores them. After Close has
// returned, no end is reported. Calls of Create and Restore fail, also those in
// progress.
//
// Close waits at most five seconds, for example for an exit handler that does not
// return. The error then names the plugins that it gave up on. Further calls of
// Close return the same error.
func (e *Executor) Close() error { return e.closeOnce() }

func (e *Executor) close() error {
	limit, cancel := context.WithTimeout(context.Background(), e.limits.close)
	defer cancel()
	var problems []error
	for _, id := range e.calls.Close(limit) {
		problems = append(problems, class.Unavailable(fmt.Errorf("close executor: start of plugin %s has not returned", id)))
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

// awaitRuns waits until no run is watched, or limit ends.
func (e *Executor) awaitRuns(limit context.Context) error {
	e.mu.Lock()
	runs := slices.Collect(maps.Keys(e.watched))
	e.mu.Unlock()
	var problems []error
	for _, r := range runs {
		select {
		case <-r.watched:
		case <-limit.Done():
			problems = append(problems, class.Unavailable(fmt.Errorf("close executor: the end of plugin %s is still being handled", r.id)))
		}
	}
	return errors.Join(problems...)
}

func (e *Executor) run(id string) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs[id]
}

// report reports the end of id to the exit handler.
func (e *Executor) report(id string) {
	e.mu.Lock()
	silent := e.silent
	e.mu.Unlock()
	if silent {
		return
	}
	if err := e.exits.HandleExitEvent(id); err != nil {
		logging.L().WithError(err).WithField("plugin", id).Warn("exit handler failed")
	}
}
