package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	gorunc "github.com/containerd/go-runc"
)

// cleanupTimeout bounds what should take milliseconds: a kill, or a call of
// the runtime that removes what it left.
const cleanupTimeout = 10 * time.Second

// outcome is how a foreground runtime ended: with the exit code of the
// plugin's main process, if that was started.
type outcome struct {
	code int
	err  error
}

// foreground is a runtime process that runs one container and stays with it.
type foreground struct {
	pid int
	// ended gets the outcome, once. What waits for it is a goroutine that
	// lasts as long as the process, for somebody must reap that.
	ended <-chan outcome
	// kill ends the process, though not the container.
	kill context.CancelFunc
}

// runForeground starts the runtime on b. That it started says nothing about
// the plugin.
func (e *Executor) runForeground(id string, b bundle, stdout, stderr *os.File) *foreground {
	ctx, kill := context.WithCancel(context.Background())
	started, ended := make(chan int, 1), make(chan outcome, 1)
	go func() {
		client := e.client()
		client.Log, client.LogFormat = b.log(), gorunc.JSON
		code, err := client.Run(ctx, id, string(b), &gorunc.CreateOpts{
			PidFile: b.pidFile(),
			IO:      stdio{stdout, stderr},
			Started: started,
		})
		kill()
		ended <- outcome{code, err}
	}()
	return &foreground{pid: <-started, ended: ended, kill: kill}
}

// delete makes the runtime forget id, ending what lives of it.
func (e *Executor) delete(id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if err := e.client().Delete(ctx, id, &gorunc.DeleteOpts{Force: true}); err != nil {
		return &RuntimeError{Runtime: e.runtime, Message: err.Error()}
	}
	return nil
}

func (e *Executor) client() *gorunc.Runc {
	return &gorunc.Runc{Command: e.runtime, Root: e.runtimeRoot(), ExtraArgs: e.runtimeArgs}
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

// byItself reports whether the runtime was not killed, so that its code is
// that of the container.
func (o outcome) byItself() bool {
	var exit *gorunc.ExitError
	return o.code >= 0 && (o.err == nil || errors.As(o.err, &exit))
}

// stdio gives the runtime its streams, and a session of its own, so that
// neither a terminal's hangup nor its signals reach it.
type stdio struct{ stdout, stderr *os.File }

func (s stdio) Set(command *exec.Cmd) {
	command.Stdout, command.Stderr = s.stdout, s.stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}

func (stdio) Stdin() io.WriteCloser { return nil }
func (stdio) Stdout() io.ReadCloser { return nil }
func (stdio) Stderr() io.ReadCloser { return nil }
func (stdio) Close() error          { return nil }
