// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest/internal/probe"
)

func TestSteps(t *testing.T) {
	tests := []struct {
		name   string
		steps  []string
		stdout string
		stderr string
		want   int
	}{
		{name: "no steps", want: 0},
		{name: "exit code", steps: []string{"exit=3", "out=never"}, want: 3},
		{name: "lines to both", steps: []string{"out=a", "err=b"}, stdout: "a\n", stderr: "b\n", want: 0},
		{name: "an unfinished line", steps: []string{"raw=a"}, stdout: "a", want: 0},
		{name: "numbered lines", steps: []string{"lines=2"}, stdout: "line 1\nline 2\n", want: 0},
		{name: "memory", steps: []string{"eat=1"}, want: 0},
		{name: "unknown step", steps: []string{"dance=1"}, want: probe.CodeUsage},
		{name: "a step that fails", steps: []string{"lines=x"}, stderr: "probe: lines=x: strconv.Atoi: parsing \"x\": invalid syntax\n", want: probe.CodeFailure},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			got := probe.Run(probe.Process{Stdout: &stdout, Stderr: &stderr}, test.steps)
			assert.Equal(t, stdout.String(), test.stdout)
			assert.Equal(t, stderr.String(), test.stderr)
			assert.Equal(t, got, test.want)
		})
	}
}

func TestLooksSayWhatIsThere(t *testing.T) {
	root := t.TempDir()
	assert.NilError(t, os.WriteFile(filepath.Join(root, "file"), []byte("a\nb\n"), 0o600))
	var stdout bytes.Buffer
	code := probe.Run(probe.Process{Root: root, Stdout: &stdout, Stderr: io.Discard},
		[]string{"cat=/file", "try=/new", "try=/no/directory", "unshare=", "status=NoNewPrivs"})
	assert.Equal(t, code, 0)
	assert.Equal(t, stdout.String(), "a\nb\n/new: ok\n/no/directory: no such file or directory\nunshare: ok\nNoNewPrivs: 0\n")
	_, err := os.Stat(filepath.Join(root, "new"))
	assert.NilError(t, err)
	for _, step := range []string{"cat=/absent", "status=Absent"} {
		assert.Equal(t, probe.Run(probe.Process{Root: root, Stderr: io.Discard}, []string{step}), probe.CodeFailure)
	}
}

func TestStepWaitsForItsByte(t *testing.T) {
	root := t.TempDir()
	assert.NilError(t, syscall.Mkfifo(filepath.Join(root, "go"), 0o600))
	fifo, err := os.OpenFile(filepath.Join(root, "go"), os.O_RDWR, 0)
	assert.NilError(t, err)
	defer fifo.Close()

	reader, writer := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- probe.Run(probe.Process{Root: root, Stdout: writer, Stderr: io.Discard}, []string{"out=before", "step=/go", "exit=7"})
	}()
	line := make([]byte, 16)
	n, err := reader.Read(line)
	assert.NilError(t, err)
	assert.Equal(t, string(line[:n]), "before\n")
	assert.Equal(t, len(code), 0)

	_, err = fifo.Write([]byte{1})
	assert.NilError(t, err)
	assert.Equal(t, <-code, 7)
}

func TestSignals(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	assert.Equal(t, probe.Run(probe.Process{Signals: signals}, []string{"wait=", "exit=9"}), 0)
}

func TestAnIgnoredSignalEndsNothing(t *testing.T) {
	root := t.TempDir()
	assert.NilError(t, syscall.Mkfifo(filepath.Join(root, "go"), 0o600))
	fifo, err := os.OpenFile(filepath.Join(root, "go"), os.O_RDWR, 0)
	assert.NilError(t, err)
	defer fifo.Close()

	signals := make(chan os.Signal)
	code := make(chan int, 1)
	go func() {
		code <- probe.Run(probe.Process{Root: root, Stderr: io.Discard, Signals: signals}, []string{"ignore=TERM", "step=/go", "exit=9"})
	}()
	signals <- syscall.SIGTERM
	signals <- syscall.SIGTERM
	_, err = fifo.Write([]byte{1})
	assert.NilError(t, err)
	assert.Equal(t, <-code, 9)
}

func TestKilledEndsAnyWait(t *testing.T) {
	killed := make(chan struct{})
	close(killed)
	assert.Equal(t, probe.Run(probe.Process{Killed: killed}, []string{"ignore=TERM", "wait=", "exit=9"}), 0)
}

func TestListenAcceptsUntilTheEnd(t *testing.T) {
	root := t.TempDir()
	signals := make(chan os.Signal, 1)
	reader, writer := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- probe.Run(probe.Process{Root: root, Stdout: writer, Stderr: io.Discard, Signals: signals},
			[]string{"listen=/run/p.sock", "out=listening", "wait="})
	}()
	_, err := reader.Read(make([]byte, 16))
	assert.NilError(t, err)

	connection, err := net.Dial("unix", filepath.Join(root, "run/p.sock"))
	assert.NilError(t, err)
	connection.Close()

	signals <- syscall.SIGTERM
	assert.Equal(t, <-code, 0)
	_, err = net.Dial("unix", filepath.Join(root, "run/p.sock"))
	assert.Assert(t, err != nil, "the socket outlived its program")
}

func TestHoldEndsWithTheProgram(t *testing.T) {
	root := t.TempDir()
	assert.NilError(t, syscall.Mkfifo(filepath.Join(root, "alive"), 0o600))
	code := make(chan int, 1)
	signals := make(chan os.Signal, 1)
	go func() {
		code <- probe.Run(probe.Process{Root: root, Stderr: io.Discard, Signals: signals}, []string{"hold=/alive", "wait="})
	}()
	alive, err := os.Open(filepath.Join(root, "alive"))
	assert.NilError(t, err)
	defer alive.Close()
	signals <- syscall.SIGTERM
	_, err = alive.Read(make([]byte, 1))
	assert.Equal(t, err, io.EOF)
	assert.Equal(t, <-code, 0)
}

func TestTellWritesOneByte(t *testing.T) {
	root := t.TempDir()
	assert.NilError(t, syscall.Mkfifo(filepath.Join(root, "told"), 0o600))
	told, err := os.OpenFile(filepath.Join(root, "told"), os.O_RDWR, 0)
	assert.NilError(t, err)
	defer told.Close()
	assert.Equal(t, probe.Run(probe.Process{Root: root, Stderr: io.Discard}, []string{"tell=/told"}), 0)
	n, err := told.Read(make([]byte, 8))
	assert.NilError(t, err)
	assert.Equal(t, n, 1)
}

func TestChildren(t *testing.T) {
	var started [][]string
	waited := 0
	p := probe.Process{Stderr: io.Discard, Child: func(steps []string) (func(), error) {
		started = append(started, steps)
		return func() { waited++ }, nil
	}}
	assert.Equal(t, probe.Run(p, []string{"spawn=out=a,exit=1", "run=out=b"}), 0)
	assert.DeepEqual(t, started, [][]string{{"out=a", "exit=1"}, {"out=b"}})
	assert.Equal(t, waited, 1)
}
