// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
)

// child starts a program that lives until its stdin is closed, and is reaped
// by the test.
func child(t *testing.T, path string, args ...string) (command *exec.Cmd, stdin io.Closer) {
	t.Helper()
	command = exec.Command(path, args...)
	pipe, err := command.StdinPipe()
	assert.NilError(t, err)
	assert.NilError(t, command.Start())
	t.Cleanup(func() {
		pipe.Close()
		_ = command.Wait()
	})
	return command, pipe
}

func TestProcessLives(t *testing.T) {
	command, stdin := child(t, "cat")
	p, err := openProcess(command.Process.Pid)
	assert.NilError(t, err)
	defer p.close()
	assert.Assert(t, p.alive())
	assert.Equal(t, p.PID, command.Process.Pid)
	assert.Equal(t, p.parent, os.Getpid())
	soon, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	err = p.await(soon)
	assert.Assert(t, errors.Is(err, context.DeadlineExceeded), "%v", err)

	stdin.Close()
	assert.NilError(t, p.await(t.Context()))
	assert.Assert(t, !p.alive())
	_, known := p.exitCode()
	assert.Assert(t, !known, "a zombie has no exit code yet")
	assert.NilError(t, command.Wait())
	if code, known := p.exitCode(); known {
		assert.Equal(t, code, 0)
	}
	assert.Equal(t, p.signal(unix.SIGTERM), errGone)
	_, err = openProcess(command.Process.Pid)
	assert.Equal(t, err, errGone)
}

func TestProcessKill(t *testing.T) {
	command, _ := child(t, "cat")
	p, err := openProcess(command.Process.Pid)
	assert.NilError(t, err)
	defer p.close()
	assert.NilError(t, p.kill(t.Context()))
	var exit *exec.ExitError
	assert.Assert(t, errors.As(command.Wait(), &exit))
	assert.Equal(t, exit.Sys().(syscall.WaitStatus).Signal(), syscall.SIGKILL)
	if code, known := p.exitCode(); known {
		assert.Equal(t, code, 128+9)
	}
	assert.NilError(t, p.kill(t.Context()), "killing the dead")
}

func TestCloseEndsAnAwait(t *testing.T) {
	command, _ := child(t, "cat")
	p, err := openProcess(command.Process.Pid)
	assert.NilError(t, err)
	awaited := make(chan error, 1)
	go func() { awaited <- p.await(t.Context()) }()
	p.close()
	err = <-awaited
	assert.Assert(t, err != nil && !errors.Is(err, context.Canceled), "%v", err)
	assert.Assert(t, !p.alive(), "a closed handle knows nothing")
}

func TestFindProcessIsNotConfused(t *testing.T) {
	self, err := openProcess(os.Getpid())
	assert.NilError(t, err)
	defer self.close()
	tests := []struct {
		name string
		who  identity
		want error
	}{
		{"the very process", self.identity, nil},
		{"an earlier one of the same pid", identity{self.PID, self.Start - 1}, errGone},
		{"no process", identity{}, errGone},
		{"a process group", identity{-1, self.Start}, errGone},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := findProcess(test.who)
			assert.Equal(t, err, test.want)
			if p != nil {
				p.close()
			}
		})
	}
}

// A command's name may look like the fields that follow it.
func TestReadStatOfAnOddName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a) R 1 (b")
	program, err := exec.LookPath("cat")
	assert.NilError(t, err)
	content, err := os.ReadFile(program)
	assert.NilError(t, err)
	assert.NilError(t, os.WriteFile(path, content, 0o700))
	command, _ := child(t, path)
	_, parent, err := readStat(command.Process.Pid)
	assert.NilError(t, err)
	assert.Equal(t, parent, os.Getpid())
}

func TestOpenDescendant(t *testing.T) {
	// The shell prints the PID of its child. Both end with the shell's stdin.
	shell := exec.Command("sh", "-c", "cat <&3 & echo $!; wait")
	lifeline, end, err := os.Pipe()
	assert.NilError(t, err)
	shell.ExtraFiles = []*os.File{lifeline}
	stdout, err := shell.StdoutPipe()
	assert.NilError(t, err)
	assert.NilError(t, shell.Start())
	lifeline.Close()
	defer func() {
		end.Close()
		_ = shell.Wait()
	}()
	var grandchild int
	_, err = fmt.Fscan(stdout, &grandchild)
	assert.NilError(t, err)

	tests := []struct {
		name          string
		pid, ancestor int
		want          bool
	}{
		{"a child", shell.Process.Pid, os.Getpid(), true},
		{"a grandchild", grandchild, os.Getpid(), true},
		{"an ancestor", os.Getpid(), shell.Process.Pid, false},
		{"a stranger", 1, os.Getpid(), false},
		{"nobody", 0, os.Getpid(), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := openDescendant(test.pid, test.ancestor)
			assert.NilError(t, err)
			assert.Equal(t, p != nil, test.want)
			if p != nil {
				p.close()
			}
		})
	}
}

// TestEndTreeWaitsForTheEnd ends many processes, because SIGKILL takes effect some
// time after it is sent.
func TestEndTreeWaitsForTheEnd(t *testing.T) {
	for range 20 {
		command, _ := child(t, "cat")
		p, err := openProcess(command.Process.Pid)
		assert.NilError(t, err)
		defer p.close()
		assert.NilError(t, record{Runtime: p.identity}.endTree(t.Context()))
		assert.Check(t, !p.alive())
	}
}
