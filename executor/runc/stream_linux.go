package runc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pipeSize is how much a plugin may write while no daemon reads; it is
	// what the kernel lets everybody have.
	pipeSize = 1 << 20
	// maxLine is the longest line that is delivered in one piece.
	maxLine = 64 << 10
)

// openWriter opens a fifo as the runtime gets it: in both directions, so that
// writing to it never fails for want of a reader.
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

// stream hands on what comes out of a fifo to a writer, line by line, in a
// goroutine of its own, until no more can come or it is told to stop.
type stream struct {
	fifo *os.File
	to   io.WriteCloser
	// drain says, once stop closed, whether what is in the pipe still counts.
	drain bool
	stop  chan struct{}
	// done closes when all is delivered and the writer is closed.
	done chan struct{}
	line []byte
}

// openReader opens a fifo as the executor reads it.
func openReader(fifo string) (*os.File, error) {
	return os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
}

// newStream starts to hand on what comes out of fifo, which it takes over
// with to.
func newStream(fifo *os.File, to io.WriteCloser) *stream {
	s := &stream{fifo: fifo, to: to, stop: make(chan struct{}), done: make(chan struct{})}
	go s.run()
	return s
}

// finish ends the stream after what the pipe holds now. Somebody who still
// writes to it is not waited for.
func (s *stream) finish() { s.end(true) }

// leave ends the stream at once; what the pipe holds is for the next reader.
func (s *stream) leave() { s.end(false) }

func (s *stream) end(drain bool) {
	s.drain = drain
	close(s.stop)
	// Wakes a blocked Read, and lets none block again.
	_ = s.fifo.SetReadDeadline(time.Unix(1, 0))
}

func (s *stream) run() {
	defer close(s.done)
	defer s.to.Close()
	defer s.fifo.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := s.fifo.Read(buffer)
		s.deliver(buffer[:n])
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
	s.write(s.line)
}

// deliverRest reads what the pipe holds, and no more: a process that the
// plugin left behind may write for ever.
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
			s.deliver(buffer[:n])
			rest -= n
		}
	})
}

// deliver writes the lines that output completes, each by itself, and keeps
// the rest for later.
func (s *stream) deliver(output []byte) {
	for len(output) > 0 {
		end := bytes.IndexByte(output, '\n') + 1
		if end == 0 {
			end = len(output)
		}
		s.line = append(s.line, output[:end]...)
		output = output[end:]
		if len(s.line) >= maxLine || s.line[len(s.line)-1] == '\n' {
			s.write(s.line)
			s.line = s.line[:0]
		}
	}
}

// write gives a line to the writer. One that fails does not stop the plugin:
// its output is read on, so that it never has to wait.
func (s *stream) write(line []byte) {
	if len(line) > 0 {
		_, _ = s.to.Write(line)
	}
}
