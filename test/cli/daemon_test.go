// SPDX-License-Identifier: Apache-2.0

//go:build linux

package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

// daemonLimit bounds the start and the end of plugind, far above what they
// take.
const daemonLimit = time.Minute

// daemon is a plugind process.
type daemon struct {
	process *exec.Cmd
	ended   chan struct{} // closed after the process ended
	failure error         // the process's error; valid after ended

	mu  sync.Mutex
	log bytes.Buffer
}

// startDaemon starts plugind and returns once it listens.
func startDaemon(t testing.TB, bin string, args ...string) *daemon {
	t.Helper()
	d := &daemon{process: exec.Command(filepath.Join(bin, "plugind"), args...), ended: make(chan struct{})}
	stderr, err := d.process.StderrPipe()
	assert.NilError(t, err)
	assert.NilError(t, d.process.Start())
	listening := make(chan struct{})
	go d.watch(stderr, listening)
	select {
	case <-listening:
	case <-d.ended:
		t.Fatalf("plugind ended: %v\n%s", d.failure, d.lines())
	case <-time.After(daemonLimit):
		d.kill(t)
		t.Fatalf("plugind does not listen:\n%s", d.lines())
	}
	return d
}

// watch collects the log until the process ends.
func (d *daemon) watch(stderr io.Reader, listening chan<- struct{}) {
	defer close(d.ended)
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		d.mu.Lock()
		fmt.Fprintln(&d.log, lines.Text())
		d.mu.Unlock()
		if listening != nil && strings.Contains(lines.Text(), "plugind is listening") {
			close(listening)
			listening = nil
		}
	}
	d.failure = d.process.Wait()
}

func (d *daemon) lines() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

// stop ends plugind by SIGTERM, which must succeed.
func (d *daemon) stop(t testing.TB) {
	t.Helper()
	assert.NilError(t, d.process.Process.Signal(syscall.SIGTERM))
	select {
	case <-d.ended:
		assert.NilError(t, d.failure, "%s", d.lines())
	case <-time.After(daemonLimit):
		_ = d.process.Process.Signal(syscall.SIGQUIT) // makes it print its goroutines
		<-d.ended
		t.Fatalf("plugind does not end:\n%s", d.lines())
	}
}

// kill ends plugind by SIGKILL.
func (d *daemon) kill(t testing.TB) {
	t.Helper()
	assert.NilError(t, d.process.Process.Kill())
	<-d.ended
}

func (d *daemon) running() bool {
	select {
	case <-d.ended:
		return false
	default:
		return true
	}
}
