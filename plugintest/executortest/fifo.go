// SPDX-License-Identifier: Apache-2.0

//go:build linux

package executortest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// fifo makes a fifo in the rootfs. It returns the fifo's path in the rootfs and opens
// it for the test.
func (h *host) fifo(name string, flags int) (path string, file *os.File) {
	h.t.Helper()
	path = "/" + name
	onHost := filepath.Join(h.rootfs, name)
	if err := syscall.Mkfifo(onHost, 0o666); err != nil {
		h.t.Fatal(fmt.Errorf("make fifo: %w", err))
	}
	file, err := os.OpenFile(onHost, flags, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	h.fifos = append(h.fifos, file)
	return path, file
}

// trigger makes a step at which the program waits until the test calls pull.
func (h *host) trigger(name string) (step string, pull func()) {
	h.t.Helper()
	path, file := h.fifo(name, os.O_RDWR)
	return "step=" + path, func() {
		h.t.Helper()
		if _, err := file.Write([]byte{1}); err != nil {
			h.t.Fatal(err)
		}
	}
}

// lifeline makes a step that holds a fifo open, and a function that waits for the end
// of the program without the executor. The program must have taken the step before
// the call.
func (h *host) lifeline(name string) (step string, awaitEnd func()) {
	h.t.Helper()
	path, file := h.fifo(name, os.O_RDONLY|syscall.O_NONBLOCK)
	return "hold=" + path, func() {
		h.t.Helper()
		if err := file.SetReadDeadline(time.Now().Add(h.subject.Patience)); err != nil {
			h.t.Fatal(err)
		}
		if _, err := file.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			h.t.Fatalf("wait for the end of a program: %v", err)
		}
	}
}

// notice makes a step, and a function that waits without the executor until the
// program has taken the step.
func (h *host) notice(name string) (step string, await func()) {
	h.t.Helper()
	path, file := h.fifo(name, os.O_RDWR|syscall.O_NONBLOCK)
	return "tell=" + path, func() {
		h.t.Helper()
		if err := file.SetReadDeadline(time.Now().Add(h.subject.Patience)); err != nil {
			h.t.Fatal(err)
		}
		if _, err := file.Read(make([]byte, 1)); err != nil {
			h.t.Fatalf("wait for a program's notice: %v", err)
		}
	}
}
