// Package harness starts drivers, ends them, and looks at what they left. It
// is what the SIGKILL harness and the power-cut harness have in common.
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

// Dovetail is the command that drives Dovetail's manager.
const Dovetail = "github.com/dovetailhq/plugin/test/crash/driver"

// Build builds a driver's command into dir, and returns the binary. It is run
// from a directory of the module that has the command.
func Build(dir, command string) (binary string, err error) {
	binary = filepath.Join(dir, "driver")
	if output, err := exec.Command("go", "build", "-o", binary, command).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", command, err, output)
	}
	return binary, nil
}

// Driver is how a driver is started.
type Driver struct {
	Binary string
	Paths  drive.Paths
	// Dir is its working directory; empty means that of the harness.
	Dir string
	// Env is added to the environment.
	Env []string
	// Workers is how many verbs are under way at once; zero means 3.
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

// OpenError reports that no manager can be opened on what a driver left.
type OpenError struct{ Reason string }

func (e *OpenError) Error() string { return "open manager after a crash: " + e.Reason }

// Observe opens a manager in a process of its own, as the next start of a
// daemon does, and returns what it finds. The error is an [OpenError] when it
// can't be opened.
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

// Process is a driver that runs.
type Process struct {
	command    *exec.Cmd
	input      io.WriteCloser
	complaints strings.Builder
	read       chan struct{} // closed when there are no more events
	readErr    error         // valid then

	mu      sync.Mutex
	ledger  *history.Ledger
	events  int
	changed chan struct{} // closed at the next event, and replaced
}

// Start starts a driver on what was found before.
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

// Await waits until there were that many events, or there are no more.
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

// Finish lets the driver shut its manager down, and returns what it told. The
// driver is one with Step.
func (p *Process) Finish() (*history.Ledger, error) {
	_ = p.input.Close()
	<-p.read
	if err := errors.Join(p.command.Wait(), p.readErr); err != nil {
		return nil, fmt.Errorf("end driver: %w\n%s", err, p.complaints.String())
	}
	return p.ledger, nil
}

// Kill kills the driver and returns what it told. A driver that ended by
// itself is an error.
func (p *Process) Kill() (*history.Ledger, error) {
	// It fails when the driver is gone, which Wait tells better.
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
