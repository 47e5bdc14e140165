package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	dockererrdefs "github.com/docker/docker/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin/internal/ids"
	"github.com/dovetailhq/plugin/internal/supervise"
)

// process is what the supervisor of a unit drives: the executor, and what a
// run needs around it. Any of its methods may hang where an executor, a mount
// or a file system does; the supervisor calls them with limits.
type process struct {
	unit *unit

	mu     sync.Mutex // guards what follows: a start that hangs is explained meanwhile
	output *output
	began  time.Time
	phase  Phase
}

var _ supervise.Process = (*process)(nil)

func (p *process) id() string { return p.unit.plugin.GetID() }

func (p *process) execDir() string {
	return filepath.Join(p.unit.manager.config.ExecRoot, p.id())
}

// Start prepares the directories, mounts and spec, and starts the process.
func (p *process) Start(ctx context.Context) error {
	out := p.begin()
	spec, err := p.prepare(ctx)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.enter(PhaseCreate)
	if err := p.unit.manager.executor.Create(p.id(), *spec, out.stdout(), out.stderr()); err != nil {
		return err
	}
	p.enter(PhaseReady)
	return nil
}

func (p *process) begin() *output {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began, p.phase, p.output = time.Now(), PhasePrepare, newOutput(p.unit)
	return p.output
}

func (p *process) enter(phase Phase) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase = phase
}

// progress returns how far the newest start got, and since when.
func (p *process) progress() (phase Phase, began time.Time, out *output) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase, p.began, p.output
}

// prepare makes the directories, mounts and spec of a run.
func (p *process) prepare(ctx context.Context) (*specs.Spec, error) {
	pm := p.unit.manager
	if pm.executor == nil {
		return nil, &UnsupportedError{Op: "start", Reason: "this manager has no executor"}
	}
	if err := p.checkOwned(); err != nil {
		return nil, err
	}
	// The record may be older than the rules.
	if err := p.unit.plugin.Validate(); err != nil {
		return nil, err
	}
	// A cleanup of /run may have deleted it.
	if err := pm.files.MkdirAll(pm.config.ExecRoot, 0o700); err != nil {
		return nil, err
	}
	if err := p.connect(); err != nil {
		return nil, err
	}
	// A socket that a crash left would be taken for a plugin that is slow.
	if err := p.clearSockets(); err != nil {
		return nil, err
	}
	if err := p.detachEarlierMounts(); err != nil {
		return nil, err
	}
	if err := p.sharePropagatedMount(); err != nil {
		return nil, err
	}
	// A record of docker's says nothing about devices.
	if err := p.unit.plugin.PinDevices(ctx); err != nil {
		return nil, err
	}
	return p.unit.plugin.InitSpec(pm.config.ExecRoot)
}

// connect publishes how the plugin will be reached. Calls that come before it
// listens are retried by the client. A plugin of another protocol than HTTP
// has a client as well: docker's callers use it without a look at the protocol.
func (p *process) connect() error {
	plugin := p.unit.plugin
	path, err := p.unit.manager.execRoot.Path(filepath.Join(p.id(), plugin.GetSocket()))
	if err != nil {
		return &InvalidError{What: "socket path", Err: err}
	}
	client, err := newPluginClient(path, plugin.Timeout(), p.unit.available, newLongAnswers(p.unit.manager.answers))
	if err != nil {
		return err
	}
	plugin.SetAddr(&net.UnixAddr{Net: "unix", Name: path})
	plugin.SetPClient(client)
	return nil
}

// detachEarlierMounts detaches what an earlier run mounted in the propagated
// mount because its config says so. The next run mounts it there again: on top
// of it, that mount would be made in the source as well.
func (p *process) detachEarlierMounts() error {
	shared := p.unit.manager.root.PropagatedMount(p.id())
	var problems []error
	for _, place := range p.unit.plugin.MountsInPropagatedMount() {
		problems = append(problems, detachInside(place, shared))
	}
	return errors.Join(problems...)
}

func (p *process) sharePropagatedMount() error {
	if p.unit.plugin.Snapshot().Config.PropagatedMount == "" {
		return nil
	}
	dir := p.unit.manager.root.PropagatedMount(p.id())
	if err := p.unit.manager.files.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := detachDead(dir); err != nil {
		p.unit.logger().WithError(err).Warn("detach dead mounts of plugin")
	}
	return shareMounts(dir)
}

// Restore takes over a process that an earlier manager left, if one lives. If
// the record is invalid the process will be stopped, so no client is made.
func (p *process) Restore() (alive bool, err error) {
	pm := p.unit.manager
	if pm.executor == nil {
		return false, nil
	}
	if err := p.checkOwned(); err != nil {
		return false, err
	}
	out := p.begin()
	// A process is stopped also when its plugin can't be run or reached.
	sound := p.unit.plugin.Validate() == nil && p.connect() == nil
	p.enter(PhaseCreate)
	alive, err = pm.executor.Restore(p.id(), out.stdout(), out.stderr())
	if errdefs.IsConflict(err) {
		// The executor attends the process already: it served another manager.
		alive, err = true, nil
	}
	if err != nil {
		return false, fmt.Errorf("restore: %w", err)
	}
	p.enter(PhaseReady)
	if alive && sound {
		if err := p.sharePropagatedMount(); err != nil {
			p.unit.logger().WithError(err).Warn("share mounts of plugin")
		}
	}
	return alive, nil
}

// checkOwned makes the supervisor let go of what a newer manager has.
func (p *process) checkOwned() error {
	if err := p.unit.manager.root.Check(); err != nil {
		return fmt.Errorf("%w: %w", supervise.ErrAbandoned, err)
	}
	return nil
}

// Ready waits for the socket.
func (p *process) Ready(ctx context.Context) error {
	return p.unit.manager.sockets.Await(ctx, p.execDir(), p.unit.plugin.GetSocket())
}

// Alive asks the executor. An executor that has no such process may say so by an
// error of class not found, as docker's does.
func (p *process) Alive() (bool, error) {
	alive, err := p.unit.manager.executor.IsRunning(p.id())
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return alive, err
}

// CanTell asks the executor for a process that does not exist.
func (p *process) CanTell() bool {
	running, err := p.unit.manager.executor.IsRunning(ids.New())
	return err != nil || !running
}

// Signal sends a signal to the process, unless a newer manager has it.
func (p *process) Signal(signal syscall.Signal) error {
	if err := p.checkOwned(); err != nil {
		return err
	}
	return p.unit.manager.executor.Signal(p.id(), signal)
}

// Ended removes the sockets, on which no process listens any more.
func (p *process) Ended() {
	if err := p.clearSockets(); err != nil {
		p.unit.logger().WithError(err).Warn("remove plugin sockets")
	}
}

// Stopped detaches what is mounted in the plugin's directory, as docker does.
func (p *process) Stopped() {
	if err := p.unmount(); err != nil {
		p.unit.logger().WithError(err).Warn("unmount plugin data")
	}
}

func (p *process) unmount() error {
	root := p.unit.manager.root
	if root.Check() != nil {
		return nil // a newer manager has the mounts
	}
	return unmountAll(root.Plugin(p.id()), root.PropagatedMount(p.id()))
}

// explain makes the error of a start report what is known: how far it got, how
// the process ended and what it wrote last.
func (u *unit) explain(cause error) error {
	u.logPanic(cause)
	phase, began, out := u.process.progress()
	explained := &StartError{
		Plugin:   u.plugin.Name(),
		Phase:    phase,
		ExitCode: -1,
		Elapsed:  time.Since(began),
		Err:      cause,
	}
	var exited *supervise.ExitedError
	if errors.As(cause, &exited) {
		explained.Phase = PhaseStart
		exit := u.lastExit()
		explained.ExitCode, explained.OOMKilled = exit.Code, exit.OOMKilled
	}
	if phase == PhaseReady {
		explained.Output = out.last()
	}
	explained.Hint = u.hint(cause, phase)
	switch {
	case errdefs.IsInvalidArgument(cause):
		return dockererrdefs.InvalidParameter(explained)
	case errdefs.IsConflict(cause):
		return dockererrdefs.Conflict(explained)
	}
	return dockererrdefs.System(explained)
}

// hint names a cause that users can do something about.
func (u *unit) hint(cause error, phase Phase) string {
	var hung *supervise.HungError
	var exited *supervise.ExitedError
	var silent *supervise.NoSocketError
	switch {
	case errors.As(cause, &hung):
		return fmt.Sprintf("it had %s, see ManagerConfig.StartTimeout; what the call still makes is stopped when it returns", u.manager.config.StartTimeout)
	case errors.As(cause, &silent):
		return fmt.Sprintf("the plugin has to listen on %s within %s, see ManagerConfig.StartTimeout", path.Join(socketsInPlugin, silent.Name), u.manager.config.StartTimeout)
	case phase == PhaseCreate, errors.As(cause, &exited):
		// runc starts what can't be executed, and lets it exit.
		text, _ := answer(answerTime, func() string { return hint(u.plugin) })
		return text
	}
	return ""
}

// socketsInPlugin is where a plugin finds the directory of its sockets.
const socketsInPlugin = "/run/docker/plugins"

// logPanic logs the stack of a panic; err may be any error.
func (u *unit) logPanic(err error) {
	var panicked *supervise.PanicError
	if errors.As(err, &panicked) {
		u.logger().WithError(err).Errorf("code of the daemon panicked:\n%s", panicked.Stack)
	}
}

// lastExit asks the executor how the process ended.
func (u *unit) lastExit() *Exit {
	exit := &Exit{Code: -1, At: time.Now()}
	reporter, ok := u.manager.executor.(ExitReporter)
	if !ok {
		return exit
	}
	type reported struct {
		code      int
		oomKilled bool
		ok        bool
	}
	last, _ := answer(answerTime, func() (r reported) {
		r.code, r.oomKilled, r.ok = reporter.LastExit(u.plugin.GetID())
		return r
	})
	exit.OOMKilled = last.oomKilled
	if last.ok {
		exit.Code = last.code
	}
	return exit
}

// pid asks the executor for the main process, 0 if there is none.
func (u *unit) pid() int {
	reporter, ok := u.manager.executor.(PidReporter)
	if !ok {
		return 0
	}
	pid, _ := answer(answerTime, func() int {
		pid, _ := reporter.Pid(u.plugin.GetID())
		return pid
	})
	return pid
}
