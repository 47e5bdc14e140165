// SPDX-License-Identifier: Apache-2.0

// Package probe is the plugin that tests start. The program's arguments are steps that
// it takes one after the other. It runs as a static binary in a container or as a
// function in the test process, with the same behaviour.
//
// The steps, each written NAME=VALUE:
//
//	out=TEXT      prints a line to stdout
//	err=TEXT      prints a line to stderr
//	raw=TEXT      prints to stdout without ending the line
//	lines=N       prints the lines "line 1" to "line N" to stdout
//	step=PATH     waits for one byte from the fifo at PATH
//	tell=PATH     writes one byte to the fifo at PATH
//	hold=PATH     keeps the fifo at PATH open for writing until the end
//	listen=PATH   accepts connections on a unix socket at PATH until the end
//	eat=N         allocates and touches N MiB of memory
//	cat=PATH      prints the file at PATH to stdout
//	status=FIELD  prints a field of the kernel's status of this process
//	try=PATH      prints whether a file can be made at PATH
//	unshare=      prints whether the system call unshare(0) is allowed
//	ignore=TERM   ignores SIGTERM from here on
//	run=STEPS     runs a child with the comma-separated STEPS to its end
//	spawn=STEPS   starts such a child and continues
//	wait=         waits for SIGTERM
//	exit=CODE     exits at once with CODE
//
// The program exits with code 0 after its last step, or on SIGTERM while it waits. It
// exits with code 64 at an unknown step, and with code 70 and a line on stderr at a
// step that fails.
package probe

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// The exit codes of a probe with an invalid or a failed step.
const (
	CodeUsage   = 64
	CodeFailure = 70
)

// Process is the environment of a probe.
type Process struct {
	// Root is the prefix of every path: empty in a container, and the rootfs
	// outside.
	Root string
	// Stdout and Stderr receive the output.
	Stdout, Stderr io.Writer
	// Signals delivers signals that the probe can handle. The sender never
	// blocks.
	Signals <-chan os.Signal
	// Killed, when closed, ends the probe at any step. It is nil for a real
	// process, which the kernel kills.
	Killed <-chan struct{}
	// Child starts a probe with other steps and returns a function that waits for
	// its end.
	Child func(steps []string) (wait func(), err error)
}

// Run takes the steps and returns the exit code.
func Run(p Process, steps []string) int {
	r := &run{Process: p}
	defer r.close()
	for _, step := range steps {
		name, value, _ := strings.Cut(step, "=")
		ended, code, err := r.take(name, value)
		if err != nil {
			fmt.Fprintf(p.Stderr, "probe: %s: %v\n", step, err)
			return CodeFailure
		}
		if ended {
			return code
		}
	}
	return 0
}

type run struct {
	Process
	deaf    bool
	held    []io.Closer
	memory  [][]byte
	serving chan struct{}
}

func (r *run) close() {
	for _, held := range r.held {
		held.Close()
	}
	if r.serving != nil {
		<-r.serving
	}
}

func (r *run) take(name, value string) (ended bool, code int, err error) {
	switch name {
	case "out":
		_, err = fmt.Fprintln(r.Stdout, value)
	case "err":
		_, err = fmt.Fprintln(r.Stderr, value)
	case "raw":
		_, err = fmt.Fprint(r.Stdout, value)
	case "lines":
		err = r.lines(value)
	case "step":
		return r.step(value)
	case "tell":
		err = os.WriteFile(filepath.Join(r.Root, value), []byte{1}, 0)
	case "hold":
		err = r.hold(value)
	case "listen":
		err = r.listen(value)
	case "eat":
		err = r.eat(value)
	case "cat", "status", "try", "unshare":
		err = r.look(name, value)
	case "ignore":
		r.deaf = true
	case "run", "spawn":
		err = r.child(name == "run", value)
	case "wait":
		return r.await(nil), 0, nil
	case "exit":
		code, err = strconv.Atoi(value)
		return true, code, err
	default:
		return true, CodeUsage, nil
	}
	return false, 0, err
}

func (r *run) lines(value string) error {
	count, err := strconv.Atoi(value)
	if err != nil {
		return err
	}
	for i := range count {
		if _, err := fmt.Fprintf(r.Stdout, "line %d\n", i+1); err != nil {
			return err
		}
	}
	return nil
}

// step reads in a separate goroutine, so that a signal ends the wait. Closing the
// file ends the goroutine.
func (r *run) step(value string) (ended bool, code int, err error) {
	fifo, err := os.OpenFile(filepath.Join(r.Root, value), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false, 0, err
	}
	arrived := make(chan error, 1)
	go func() {
		_, err := fifo.Read(make([]byte, 1))
		arrived <- err
	}()
	if r.await(arrived) {
		_ = fifo.Close()
		<-arrived
		return true, 0, nil
	}
	_ = fifo.Close()
	return false, 0, nil
}

// await waits for arrived, and reports whether SIGTERM or Killed came first.
func (r *run) await(arrived chan error) (ended bool) {
	for {
		select {
		case err := <-arrived:
			arrived <- err
			return false
		case <-r.Killed:
			return true
		case signal := <-r.Signals:
			if signal == syscall.SIGTERM && !r.deaf {
				return true
			}
		}
	}
}

func (r *run) hold(value string) error {
	fifo, err := os.OpenFile(filepath.Join(r.Root, value), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	r.held = append(r.held, fifo)
	return nil
}

func (r *run) listen(value string) error {
	path := filepath.Join(r.Root, value)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	r.held = append(r.held, listener)
	r.serving = make(chan struct{})
	go func() {
		defer close(r.serving)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			connection.Close()
		}
	}()
	return nil
}

// eat touches every page, because the kernel counts only touched memory.
func (r *run) eat(value string) error {
	count, err := strconv.Atoi(value)
	if err != nil {
		return err
	}
	for range count {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		r.memory = append(r.memory, block)
	}
	return nil
}

func (r *run) child(wait bool, value string) error {
	ended, err := r.Child(strings.Split(value, ","))
	if err != nil {
		return err
	}
	if wait {
		ended()
	}
	return nil
}
