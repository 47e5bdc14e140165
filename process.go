// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/class"
	"github.com/dovetailhq/plugin/internal/diagnose"
	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/ids"
	"github.com/dovetailhq/plugin/internal/logbook"
	"github.com/dovetailhq/plugin/internal/mounts"
	"github.com/dovetailhq/plugin/internal/pluginclient"
	"github.com/dovetailhq/plugin/internal/supervise"
)

// process is what the supervisor of a unit drives: the executor, and the
// directories, mounts and spec of a run. Its methods hang when an executor, a
// mount or a file system hangs; the supervisor bounds its calls.
type process struct {
	unit *unit

	mu     sync.Mutex // guards what follows, which explain reads while a start hangs
	output *logbook.Writer
	began  time.Time
	phase  StartPhase
	call   string // in progress
}

var _ supervise.Process = (*process)(nil)

func (p *process) id() string { return p.unit.plugin.GetID() }

func (p *process) execDir() string {
	return filepath.Join(p.unit.host.config.ExecRoot, p.id())
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
	p.enter(PhaseCreate, "the executor's Create")
	if err := p.unit.host.executor.Create(p.id(), *spec, out.Stdout(), out.Stderr()); err != nil {
		return err
	}
	p.enter(PhaseReady, "")
	return nil
}

func (p *process) begin() *logbook.Writer {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began, p.phase, p.output = time.Now(), PhasePrepare, logbook.NewWriter(p.unit.logbook, &p.unit.outputRate, p.unit.logger())
	return p.output
}

// enter notes the phase, and the call in it that begins, should it hang.
func (p *process) enter(phase StartPhase, call string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase, p.call = phase, call
}

// progress returns phase, begin and output of the newest start.
func (p *process) progress() (phase StartPhase, began time.Time, out *logbook.Writer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase, p.began, p.output
}

// hungIn names the call of a start in an error of the supervisor, for which the whole
// start is one call.
func (p *process) hungIn(cause error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var hung *supervise.HungError
	if !errors.As(cause, &hung) || hung.Call != supervise.StartCall || p.call == "" {
		return cause
	}
	return &supervise.HungError{Call: p.call, Err: hung.Err}
}

// prepare makes the directories, mounts and spec of a run.
func (p *process) prepare(ctx context.Context) (spec *specs.Spec, err error) {
	h := p.unit.host
	if h.executor == nil {
		return nil, &UnsupportedError{Op: "start", Reason: "this manager has no executor"}
	}
	for _, step := range []struct {
		call string // its name, should it hang
		do   func() error
	}{
		{"the check of root " + h.root.Dir(), p.checkOwned},
		// Configs that can't be started are installed nevertheless, as docker does,
		// and docker does not check its records.
		{"the check of the config", p.unit.plugin.Validate},
		// A cleanup of /run may have deleted it.
		{"the making of directory " + h.config.ExecRoot, func() error { return h.files.MkdirAll(h.config.ExecRoot, 0o700) }},
		{"the look at directory " + p.execDir(), p.connect},
		// Await would wait for a plugin behind a socket that a crash left.
		{"the removal of sockets in " + p.execDir(), p.clearSockets},
		{"the detaching of mounts in " + h.root.PropagatedMount(p.id()), p.detachEarlierMounts},
		{"the sharing of mounts in " + h.root.PropagatedMount(p.id()), p.sharePropagatedMount},
		{"the look at sources and devices of the host", func() error { return p.unit.pinForStart(ctx) }},
		{"the making of the spec", func() (err error) { spec, err = p.unit.plugin.InitSpecContext(ctx, h.config.ExecRoot); return err }},
		// From here on the plugin can leave links and nodes.
		{"the save of writable directories in " + h.root.Dir(), p.unit.expose},
	} {
		p.enter(PhasePrepare, step.call)
		if err := step.do(); err != nil {
			return nil, err
		}
	}
	return spec, nil
}

// connect publishes the plugin's address and client. The client retries calls
// that come before the plugin listens. A plugin of a protocol other than HTTP has
// a client as well, because docker's callers use it without checking the protocol.
func (p *process) connect() error {
	plugin := p.unit.plugin
	if socket := plugin.GetSocket(); !filepath.IsLocal(strings.TrimLeft(socket, "/")) {
		return &InvalidError{What: fmt.Sprintf("socket %q", socket), Err: errors.New("it leads out of the directory for sockets")}
	}
	path, err := p.unit.host.execRoot.Path(filepath.Join(p.id(), plugin.GetSocket()))
	if err != nil {
		return &InvalidError{What: "socket path", Err: err}
	}
	client, err := pluginclient.New(pluginclient.Options{
		Dir:       p.execDir(),
		Name:      plugin.GetSocket(),
		Timeout:   plugin.Timeout(),
		Available: p.unit.available,
		Patience:  firstMoments,
		Room:      pluginclient.NewRoom(p.unit.host.answers),
		TooLong:   func(method string) error { return &AnswerError{Method: method} },
	})
	if err != nil {
		return err
	}
	plugin.SetAddr(&net.UnixAddr{Net: "unix", Name: path})
	plugin.SetPClient(client)
	return nil
}

// detachEarlierMounts detaches mounts of the config that an earlier run left in
// the propagated mount. The next run makes them again; on top of an old one, a
// mount would propagate into the source of the old one.
func (p *process) detachEarlierMounts() error {
	shared := p.unit.host.root.PropagatedMount(p.id())
	var problems []error
	for _, place := range p.unit.plugin.MountsInPropagatedMount() {
		problems = append(problems, mounts.DetachInside(place, shared))
	}
	return errors.Join(problems...)
}

func (p *process) sharePropagatedMount() error {
	if p.unit.plugin.Snapshot().Config.PropagatedMount == "" {
		return nil
	}
	dir := p.unit.host.root.PropagatedMount(p.id())
	if err := p.unit.host.files.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := mounts.DetachDead(dir); err != nil {
		p.unit.logger().WithError(err).Warn("detach dead mounts of plugin")
	}
	return mounts.Share(dir)
}

// Restore takes over a process that an earlier manager left, if one lives. It does
// so also if the plugin could not be started again.
func (p *process) Restore() (alive bool, err error) {
	h := p.unit.host
	if h.executor == nil {
		return false, nil
	}
	if err := p.checkOwned(); err != nil {
		return false, err
	}
	out := p.begin()
	// The Store does not return a plugin that can't be reached, see reach.
	reachable := p.connect() == nil
	p.enter(PhaseCreate, "the executor's Restore")
	alive, err = h.executor.Restore(p.id(), out.Stdout(), out.Stderr())
	if errdefs.IsConflict(err) {
		// The executor has the process already: it served another manager.
		alive, err = true, nil
	}
	if err != nil {
		return false, fmt.Errorf("restore: %w", err)
	}
	p.enter(PhaseReady, "")
	if alive && reachable {
		if err := p.sharePropagatedMount(); err != nil {
			p.unit.logger().WithError(err).Warn("share mounts of plugin")
		}
	}
	return alive, nil
}

// checkOwned returns [supervise.ErrAbandoned] if a newer manager has the process.
func (p *process) checkOwned() error {
	if err := p.unit.host.root.Check(); err != nil {
		return fmt.Errorf("%w: %w", supervise.ErrAbandoned, err)
	}
	return nil
}

// Ready waits for the socket. A process that was taken over and can't be reached
// has no socket to wait for: it keeps running, but the Store does not return it.
func (p *process) Ready(ctx context.Context) error {
	if p.unit.plugin.Addr() == nil {
		return nil
	}
	return p.unit.host.sockets.Await(ctx, p.execDir(), p.unit.plugin.GetSocket())
}

// Alive reports whether the process lives. Like docker's, an executor may return
// an error of class NotFound for an unknown process.
func (p *process) Alive() (bool, error) {
	alive, err := p.unit.host.executor.IsRunning(p.id())
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return alive, err
}

// CanTell reports whether the executor distinguishes processes that don't exist.
func (p *process) CanTell() bool {
	running, err := p.unit.host.executor.IsRunning(ids.New())
	return err != nil || !running
}

// Signal sends a signal to the process, unless a newer manager has it.
func (p *process) Signal(signal syscall.Signal) error {
	if err := p.checkOwned(); err != nil {
		return err
	}
	return p.unit.host.executor.Signal(p.id(), signal)
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
	root := p.unit.host.root
	if root.Check() != nil {
		return nil // a newer manager has the mounts
	}
	return mounts.UnmountBelow(root.Plugin(p.id()), root.PropagatedMount(p.id()))
}

// clearSockets removes the directory of the sockets. A run can leave any number of
// files in it, so it is moved aside, and the collector deletes the rest if that
// takes long.
func (p *process) clearSockets() error {
	h := p.unit.host
	aside := filepath.Join(h.config.ExecRoot, p.id()+"."+rand.Text()[:8]+"-removing")
	left, err := h.files.PutAway(p.execDir(), aside)
	var mounted *durable.MountedError
	if errors.As(err, &mounted) && h.root.Check() == nil {
		// Mounts that a plugin makes in it propagate to the host.
		if err := mounts.DetachInside(p.execDir()); err != nil {
			return err
		}
		left, err = h.files.PutAway(p.execDir(), aside)
	}
	if left {
		h.observer.requestGC()
	}
	return err
}

// explain makes a [StartError] of the cause: with phase, exit code, last output
// and hint.
func (u *unit) explain(cause error) error {
	u.logPanic(cause)
	cause = u.process.hungIn(cause)
	phase, began, out := u.process.progress()
	explained := &StartError{
		Plugin:   u.plugin.Name(),
		Phase:    phase,
		ExitCode: -1,
		Elapsed:  time.Since(began),
		Err:      startClass(cause),
	}
	var exited *supervise.ExitedError
	if errors.As(cause, &exited) {
		explained.Phase = PhaseStart
		exit := u.lastExit()
		explained.ExitCode, explained.OOMKilled = exit.Code, exit.OOMKilled
	}
	if phase == PhaseReady {
		explained.Output = out.Last()
	}
	explained.Hint = u.hint(cause, phase)
	return explained
}

// startClass returns the cause of a failed start with the class of the start.
func startClass(cause error) error {
	switch {
	case errdefs.IsInvalidArgument(cause):
		return class.InvalidParameter(cause)
	case errdefs.IsConflict(cause):
		return class.Conflict(cause)
	case errdefs.IsUnavailable(cause):
		return class.Unavailable(cause)
	}
	return class.System(cause)
}

// hint returns a cause that users can mend, or "".
func (u *unit) hint(cause error, phase StartPhase) string {
	var hung *supervise.HungError
	var exited *supervise.ExitedError
	var silent *supervise.NoSocketError
	switch {
	case errors.As(cause, &hung):
		return fmt.Sprintf("it had %s, see ManagerConfig.StartTimeout; a process that the call still makes is stopped when it returns", u.host.config.StartTimeout)
	case errors.As(cause, &silent):
		return fmt.Sprintf("the plugin must listen on %s within %s, see ManagerConfig.StartTimeout", path.Join(socketsInPlugin, silent.Name), u.host.config.StartTimeout)
	case phase == PhaseCreate, errors.As(cause, &exited):
		// runc reports some entrypoints that can't be executed as an exit.
		return u.diagnose()
	}
	return ""
}

// diagnose returns what the files of the plugin and of its mounts show. A diagnosis
// whose file system does not answer is left, and keeps a thread; until it returns,
// this plugin has no other.
func (u *unit) diagnose() string {
	const silent = "the cause is not known, because a file system of the plugin does not answer"
	ctx, cancel := context.WithTimeout(u.host.ctx, answerTime)
	defer cancel()
	call, err := bounded.Start(ctx, u.diagnosis, func() (string, error) {
		return diagnose.Cause(diagnose.Plugin{Plugin: u.plugin.Snapshot(), Rootfs: u.plugin.Rootfs, OnHost: u.plugin.ScopedPath}), nil
	})
	if err != nil {
		return silent
	}
	text, returned, _ := call.Await(ctx)
	if !returned {
		return silent
	}
	return text
}

// socketsInPlugin is the path of the directory of sockets in a plugin.
const socketsInPlugin = "/run/docker/plugins"

// logPanic logs the stack of a panic; err may be any error.
func (u *unit) logPanic(err error) {
	var panicked *bounded.PanicError
	if errors.As(err, &panicked) {
		u.logger().WithError(err).Errorf("code of the daemon panicked:\n%s", panicked.Stack)
	}
}
