// SPDX-License-Identifier: Apache-2.0

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

	"github.com/dovetailhq/plugin/internal/class"
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

// runForeground starts the runtime on b. The plugin may not have started when it
// returns.
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

// foregroundArguments are the last arguments of a foreground runtime. A later
// executor recognises the runtime by them.
func foregroundArguments(id string, b bundle) []string {
	return []string{"run", "--bundle", string(b), "--pid-file", b.pidFile(), id}
}

// kill ends the runtime together with all its descendants.
func (f *foreground) kill() { killTree(f.pid, os.Getpid()) }

// delete makes the runtime end the processes of id and delete its state.
func (e *Executor) delete(ctx context.Context, id string) error {
	return e.call(ctx, "delete", "--force", id)
}

// call runs a command of the runtime to its end. If it has not ended when ctx
// ends, it is killed. Its output is read for handover at most after its end,
// because a child may still hold the pipe open.
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
		return class.Unavailable(fmt.Errorf("%s %s hangs and was killed: %w", e.runtime, strings.Join(arguments, " "), context.Cause(ctx)))
	}
}

// command returns a call of the runtime in a separate session, so that neither a
// terminal's hangup nor its signals reach it.
func (e *Executor) command(arguments ...string) *exec.Cmd {
	command := exec.Command(e.runtime, slices.Concat([]string{"--root", e.runtimeRoot()}, e.runtimeArgs, arguments)...)
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// With it runc would notify the daemon's service manager in the daemon's place.
	command.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "NOTIFY_SOCKET=")
	})
	return command
}

// failure returns the error of a runtime that ended before its container started.
// The reason is in its log or, if it failed before that, on stderr, or in the
// error of the call.
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

// awaitForeground waits until the runtime is reaped. ok is false if it is not
// reaped by the limit, for example because it hangs in the kernel.
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
