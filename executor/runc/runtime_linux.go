package runc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// outcome is how a foreground runtime ended: with the exit code of the
// plugin's main process, if that was started.
type outcome struct {
	code int
	err  error
}

// byItself reports whether the runtime was not killed, so that its code is
// that of the container.
func (o outcome) byItself() bool { return o.code >= 0 }

// foreground is a runtime process that runs one container and stays with it.
type foreground struct {
	pid int
	// ended gets the outcome, once. The goroutine that sends it reaps the
	// process and lasts as long.
	ended <-chan outcome
}

// runForeground starts the runtime on b. That it started says nothing about
// the plugin.
func (e *Executor) runForeground(id string, b bundle, stdout, stderr *os.File) (*foreground, error) {
	command := e.command(append([]string{"--log", b.log(), "--log-format", "json"}, foregroundArguments(id, b)...)...)
	command.Stdout, command.Stderr = stdout, stderr
	if err := command.Start(); err != nil {
		return nil, &RuntimeError{Runtime: e.runtime, Message: err.Error()}
	}
	ended := make(chan outcome, 1)
	go func() {
		err := command.Wait()
		ended <- outcome{command.ProcessState.ExitCode(), err}
	}()
	return &foreground{pid: command.Process.Pid, ended: ended}, nil
}

// foregroundArguments are the last ones of a foreground runtime. A later
// executor knows it by them.
func foregroundArguments(id string, b bundle) []string {
	return []string{"run", "--bundle", string(b), "--pid-file", b.pidFile(), id}
}

// kill ends the runtime with all that it has started.
func (f *foreground) kill() { killTree(f.pid, os.Getpid()) }

// delete makes the runtime forget id, ending what lives of it.
func (e *Executor) delete(ctx context.Context, id string) error {
	return e.call(ctx, "delete", "--force", id)
}

// call runs a command of the runtime to its end. One that has not ended when
// ctx has is killed. The pipe that a child of it may still hold open is waited
// for no longer than handover.
func (e *Executor) call(ctx context.Context, arguments ...string) error {
	command := e.command(arguments...)
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	command.WaitDelay = handover
	if err := command.Start(); err != nil {
		return &RuntimeError{Runtime: e.runtime, Message: err.Error()}
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case err := <-ended:
		if command.ProcessState.Success() {
			return nil
		}
		return &RuntimeError{Runtime: e.runtime, Message: cmp.Or(strings.TrimSpace(said.String()), err.Error())}
	case <-ctx.Done():
		killTree(command.Process.Pid, os.Getpid())
		return unavailableError{fmt.Errorf("%s %s hangs and was killed: %w", e.runtime, strings.Join(arguments, " "), context.Cause(ctx))}
	}
}

// command is a call of the runtime in a session of its own, so that neither a
// terminal's hangup nor its signals reach it.
func (e *Executor) command(arguments ...string) *exec.Cmd {
	command := exec.Command(e.runtime, slices.Concat([]string{"--root", e.runtimeRoot()}, e.runtimeArgs, arguments)...)
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// With it runc would speak to the daemon's service manager in its place.
	command.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "NOTIFY_SOCKET=")
	})
	return command
}

// failure is the error of a runtime that ended before its container started.
// Its log has the reason; one that did not get that far may have said
// something on stderr, or could not even be called.
func (r *run) failure(end outcome) error {
	message := r.bundle.runtimeMessage()
	if message == "" {
		_ = r.readers[1].SetReadDeadline(time.Now().Add(handover))
		said, _ := io.ReadAll(io.LimitReader(r.readers[1], maxLine))
		message = strings.TrimSpace(string(said))
	}
	if message == "" && end.err != nil {
		message = end.err.Error()
	}
	if message == "" {
		message = fmt.Sprintf("ended with code %d before the plugin started", end.code)
	}
	return &RuntimeError{Runtime: r.e.runtime, Message: strings.TrimPrefix(message, "runc run failed: ")}
}

// awaitForeground waits until the runtime is reaped; ok is false if it is not
// by the limit, for example because the kernel does not let go of it.
func (r *run) awaitForeground(limit time.Duration) (ok bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case end := <-r.foreground.ended:
		r.outcome = &end
		return true
	case <-timer.C:
		return false
	}
}

var errStillLives = errors.New("still lives after SIGKILL")
