package plugin

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	dockererrdefs "github.com/docker/docker/errdefs"
	"github.com/docker/docker/pkg/plugins"

	"github.com/dovetailhq/plugin/internal/plaintext"
	"github.com/dovetailhq/plugin/internal/supervise"
)

// process is what the supervisor of a unit drives: the executor, and what a
// run needs around it.
type process struct {
	unit   *unit
	output *output
	began  time.Time
}

var _ supervise.Process = (*process)(nil)

func (p *process) id() string { return p.unit.plugin.GetID() }

func (p *process) execDir() string {
	return filepath.Join(p.unit.manager.config.ExecRoot, p.id())
}

// phaseError tells how far a start got that failed.
type phaseError struct {
	phase Phase
	err   error
}

func (e *phaseError) Error() string { return plaintext.Sprintf("%v", e.err) }
func (e *phaseError) Unwrap() error { return e.err }

// Start prepares the directories, mounts and spec, and starts the process.
func (p *process) Start() error {
	p.began = time.Now()
	p.output = newOutput(p.unit)
	pm := p.unit.manager
	if pm.executor == nil {
		return &phaseError{PhasePrepare, &UnsupportedError{Op: "start", Reason: "this manager has no executor"}}
	}
	// The record may be older than the rules.
	if err := p.unit.plugin.Validate(); err != nil {
		return &phaseError{PhasePrepare, err}
	}
	if err := p.connect(); err != nil {
		return &phaseError{PhasePrepare, err}
	}
	if err := pm.writable(); err != nil {
		return &phaseError{PhasePrepare, err}
	}
	// A socket that a crash left would be taken for a plugin that is slow.
	if err := p.clearSockets(); err != nil {
		return &phaseError{PhasePrepare, err}
	}
	if err := p.detachEarlierMounts(); err != nil {
		return &phaseError{PhasePrepare, err}
	}
	if err := p.sharePropagatedMount(); err != nil {
		return &phaseError{PhasePrepare, err}
	}
	spec, err := p.unit.plugin.InitSpec(pm.config.ExecRoot)
	if err != nil {
		return &phaseError{PhasePrepare, err}
	}
	if err := pm.executor.Create(p.id(), *spec, p.output.stdout(), p.output.stderr()); err != nil {
		return &phaseError{PhaseCreate, err}
	}
	return nil
}

// connect publishes how the plugin will be reached. Calls that come before it
// listens are retried by the client.
func (p *process) connect() error {
	plugin := p.unit.plugin
	path, err := p.unit.manager.execRoot.Path(filepath.Join(p.id(), plugin.GetSocket()))
	if err != nil {
		return &InvalidError{What: "socket path", Err: err}
	}
	plugin.SetAddr(&net.UnixAddr{Net: "unix", Name: path})
	if plugin.Protocol() != plugins.ProtocolSchemeHTTPV1 {
		return nil
	}
	client, err := newPluginClient(path, plugin.Timeout())
	if err != nil {
		return err
	}
	plugin.SetPClient(client)
	return nil
}

// detachEarlierMounts detaches what an earlier run mounted in the propagated
// mount because its config says so. The next run mounts it there again: on top
// of it, that mount would be made in the source as well.
func (p *process) detachEarlierMounts() error {
	var problems []error
	for _, place := range p.unit.plugin.MountsInPropagatedMount() {
		problems = append(problems, detachInside(place))
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

// restore takes over a process that an earlier manager left, if one lives. One
// whose record is not sound is to be stopped, and is not reached.
func (p *process) restore() (alive bool, err error) {
	p.began = time.Now()
	p.output = newOutput(p.unit)
	sound := p.unit.plugin.Validate() == nil
	if sound {
		if err := p.connect(); err != nil {
			return false, err
		}
	}
	alive, err = p.unit.manager.executor.Restore(p.id(), p.output.stdout(), p.output.stderr())
	if alive && sound && err == nil {
		err = p.sharePropagatedMount()
	}
	return alive, err
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

// Signal sends a signal to the process.
func (p *process) Signal(signal syscall.Signal) error {
	return p.unit.manager.executor.Signal(p.id(), signal)
}

// Ended removes the sockets, which nobody listens on any more.
func (p *process) Ended() {
	if err := p.clearSockets(); err != nil {
		p.unit.logger().WithError(err).Warn("remove plugin sockets")
	}
}

// explain makes the error of a start say what is known: how far it got, how
// the process ended and what it wrote last.
func (u *unit) explain(cause error) error {
	p := u.process
	explained := &StartError{
		Plugin:   u.plugin.Name(),
		Phase:    PhaseReady,
		ExitCode: -1,
		Elapsed:  time.Since(p.began),
		Err:      cause,
	}
	var early *phaseError
	if errors.As(cause, &early) {
		explained.Phase, explained.Err = early.phase, early.err
	}
	var exited *supervise.ExitedError
	if errors.As(cause, &exited) {
		explained.Phase = PhaseStart
		explained.ExitCode, explained.OOMKilled = u.lastExit()
	}
	if early == nil {
		explained.Output = p.output.last()
	}
	// runc starts what can't be executed, and lets it exit.
	if explained.Phase == PhaseCreate || exited != nil {
		explained.Hint = hint(u.plugin)
	}
	if errdefs.IsInvalidArgument(explained.Err) {
		return dockererrdefs.InvalidParameter(explained)
	}
	return dockererrdefs.System(explained)
}

func (u *unit) lastExit() (code int, oomKilled bool) {
	reporter, ok := u.manager.executor.(ExitReporter)
	if !ok {
		return -1, false
	}
	code, oomKilled, ok = reporter.LastExit(u.plugin.GetID())
	if !ok {
		return -1, oomKilled
	}
	return code, oomKilled
}
