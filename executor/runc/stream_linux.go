// SPDX-License-Identifier: Apache-2.0

package runc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dovetailhq/plugin/internal/bounded"
)

const (
	// pipeSize is how much a plugin can write while no daemon reads. It is the
	// maximum for unprivileged users, see
	// https://man7.org/linux/man-pages/man7/pipe.7.html.
	pipeSize = 1 << 20
	// maxLine is the longest line that is delivered in one piece.
	maxLine = 64 << 10
)

// openWriter opens a fifo for the runtime: in both directions, so that writing to
// it never fails for lack of a reader.
func openWriter(fifo string) (*os.File, error) {
	// Not os.OpenFile: its file would be set to non-blocking, which the
	// runtime would inherit.
	fd, err := unix.Open(fifo, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", fifo, err)
	}
	_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, pipeSize)
	return os.NewFile(uintptr(fd), fifo), nil
}

// stream copies a fifo to a writer, line by line, in a separate goroutine, until
// the fifo ends or the stream is stopped.
type stream struct {
	fifo *os.File
	to   io.WriteCloser
	// drain is whether the rest in the pipe is delivered; valid once stop is closed.
	drain bool
	stop  chan struct{}
	// done closes when all is delivered and the writer is closed.
	done   chan struct{}
	cutter bounded.Cutter
}

// openReader opens a fifo as the executor reads it.
func openReader(fifo string) (*os.File, error) {
	return os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
}

// newStream starts to copy fifo to the writer, and takes both over.
func newStream(fifo *os.File, to io.WriteCloser) *stream {
	s := &stream{fifo: fifo, to: to, stop: make(chan struct{}), done: make(chan struct{}), cutter: bounded.Cutter{Max: maxLine}}
	go s.run()
	return s
}

// finish ends the stream after the present content of the pipe. It does not wait
// for processes that still write to it.
func (s *stream) finish() { s.end(true) }

// leave ends the stream at once; the content of the pipe is for the next reader.
func (s *stream) leave() { s.end(false) }

func (s *stream) end(drain bool) {
	s.drain = drain
	close(s.stop)
	// It wakes a blocked Read, and prevents later ones from blocking.
	_ = s.fifo.SetReadDeadline(time.Unix(1, 0))
}

func (s *stream) run() {
	defer close(s.done)
	defer s.to.Close()
	defer s.fifo.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := s.fifo.Read(buffer)
		s.cutter.Cut(buffer[:n], s.write)
		if err == nil {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			<-s.stop
			if s.drain {
				s.deliverRest(buffer)
			}
		}
		break
	}
	s.cutter.Flush(s.write)
}

// deliverRest delivers the present content of the pipe and no more, because a
// process that the plugin left behind can write for ever.
func (s *stream) deliverRest(buffer []byte) {
	connection, err := s.fifo.SyscallConn()
	if err != nil {
		return
	}
	_ = connection.Control(func(fd uintptr) {
		rest, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		for err == nil && rest > 0 {
			var n int
			n, err = unix.Read(int(fd), buffer[:min(len(buffer), rest)])
			if errors.Is(err, unix.EINTR) {
				err = nil
				continue
			}
			if n <= 0 {
				return
			}
			s.cutter.Cut(buffer[:n], s.write)
			rest -= n
		}
	})
}

// write writes a line to the writer. A writer that fails does not stop the plugin:
// its output is still read, so that the plugin never blocks.
func (s *stream) write(line []byte) {
	_, _ = s.to.Write(line)
}
