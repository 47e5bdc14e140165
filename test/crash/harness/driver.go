// SPDX-License-Identifier: Apache-2.0

// Package harness starts drivers, ends them, and observes what they leave. The
// SIGKILL harness and the power-cut harness share it.
package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/dovetailhq/plugin/test/crash/drive"
	"github.com/dovetailhq/plugin/test/crash/history"
)

// Dovetail is the command of the driver of Dovetail's manager.
const Dovetail = "github.com/dovetailhq/plugin/test/crash/driver"

// Build builds a driver's command into dir and returns the binary. It must run
// in a directory of the module that has the command.
func Build(dir, command string) (binary string, err error) {
	binary = filepath.Join(dir, "driver")
	if output, err := exec.Command("go", "build", "-o", binary, command).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", command, err, output)
	}
	return binary, nil
}

// Driver configures the start of a driver.
type Driver struct {
	Binary string
	Paths  drive.Paths
	// Dir is the working directory. Empty is the harness's own.
	Dir string
	// Env is added to the environment.
	Env []string
	// Workers is the number of concurrent verbs. Zero means 3.
	Workers int
	// Step makes each verb wait for [Process.Turn].
	Step bool
}

func (d Driver) command(arguments ...string) *exec.Cmd {
	command := exec.Command(d.Binary, append([]string{"-root", d.Paths.Root, "-exec-root", d.Paths.ExecRoot}, arguments...)...)
	command.Dir = d.Dir
	command.Env = append(os.Environ(), d.Env...)
	return command
}

// OpenError reports that no manager can be opened after a driver's end.
type OpenError struct {
	Reason string // the error of the new manager
}

func (e *OpenError) Error() string { return "open manager after a crash: " + e.Reason }

// Observe opens a manager in a separate process, as the next start of a daemon
// does, and returns the observation. The error is an [OpenError] if no manager
// can be opened.
func (d Driver) Observe() (drive.Observation, error) {
	command := d.command("-observe")
	var complaints strings.Builder
	command.Stderr = &complaints
	output, err := command.Output()
	if err != nil {
		return drive.Observation{}, fmt.Errorf("observe %s: %w\n%s", d.Paths.Root, err, complaints.String())
	}
	var observation drive.Observation
	if err := json.Unmarshal(output, &observation); err != nil {
		return drive.Observation{}, fmt.Errorf("observe %s: %w\n%s", d.Paths.Root, err, output)
	}
	if observation.Error != "" {
		return drive.Observation{}, &OpenError{Reason: observation.Error}
	}
	return observation, nil
}

// Process is a running driver.
type Process struct {
	command    *exec.Cmd
	input      io.WriteCloser
	complaints strings.Builder
	read       chan struct{} // closed when there are no more events
	readErr    error         // valid after read is closed

	mu      sync.Mutex
	ledger  *history.Ledger
	events  int
	changed chan struct{} // closed at the next event, and replaced
}

// Start starts a driver on an earlier observation.
func (d Driver) Start(seed uint64, found map[string]history.State) (*Process, error) {
	arguments := []string{"-seed", strconv.FormatUint(seed, 10)}
	if d.Workers > 0 {
		arguments = append(arguments, "-workers", strconv.Itoa(d.Workers))
	}
	if d.Step {
		arguments = append(arguments, "-step")
	}
	p := &Process{
		command: d.command(arguments...),
		read:    make(chan struct{}),
		ledger:  history.NewLedger(found),
		changed: make(chan struct{}),
	}
	p.command.Stderr = &p.complaints
	input, err := p.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.input = input
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start driver: %w", err)
	}
	go p.follow(output)
	return p, nil
}

// follow records events until the driver is gone.
func (p *Process) follow(output io.Reader) {
	defer close(p.read)
	decoder := json.NewDecoder(output)
	for {
		var event history.Event
		if err := decoder.Decode(&event); err != nil {
			if !errors.Is(err, io.EOF) {
				p.readErr = err
			}
			return
		}
		p.record(event)
	}
}

func (p *Process) record(event history.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ledger.Record(event)
	p.events++
	close(p.changed)
	p.changed = make(chan struct{})
}

// Await waits for the given number of events, or for the last one.
func (p *Process) Await(events int) {
	for {
		p.mu.Lock()
		got, changed := p.events, p.changed
		p.mu.Unlock()
		if got >= events {
			return
		}
		select {
		case <-changed:
		case <-p.read:
			return
		}
	}
}

// Turn lets the driver call one verb.
func (p *Process) Turn() error {
	_, err := p.input.Write([]byte{0})
	return err
}

// Ended is closed when the driver is gone.
func (p *Process) Ended() <-chan struct{} { return p.read }

// Finish makes the driver shut its manager down, and returns its ledger. The
// driver must run with Step.
func (p *Process) Finish() (*history.Ledger, error) {
	_ = p.input.Close()
	<-p.read
	if err := errors.Join(p.command.Wait(), p.readErr); err != nil {
		return nil, fmt.Errorf("end driver: %w\n%s", err, p.complaints.String())
	}
	return p.ledger, nil
}

// Kill kills the driver and returns its ledger. It fails if the driver has
// ended by itself.
func (p *Process) Kill() (*history.Ledger, error) {
	// It fails only if the driver is gone, which Wait reports.
	_ = p.command.Process.Kill()
	<-p.read
	_ = p.input.Close()
	err := p.command.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && !exit.Exited() && p.readErr == nil {
		return p.ledger, nil
	}
	return nil, fmt.Errorf("driver ended by itself: %w\n%s", errors.Join(err, p.readErr), p.complaints.String())
}
