// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
)

// sink is a stream's writer; writes go to a channel that the test reads.
type sink struct {
	writes chan string
	fail   error
	closed chan struct{}
}

func newSink(capacity int) *sink {
	return &sink{writes: make(chan string, capacity), closed: make(chan struct{})}
}

func (s *sink) Write(p []byte) (int, error) {
	s.writes <- string(p)
	return len(p), s.fail
}

func (s *sink) Close() error {
	close(s.writes)
	close(s.closed)
	return nil
}

// all returns the writes up to the close.
func (s *sink) all() []string {
	var writes []string
	for write := range s.writes {
		writes = append(writes, write)
	}
	return writes
}

// pipe makes a fifo with a stream on its near end and returns its far end.
func pipe(t *testing.T, to *sink) (*stream, *os.File) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	assert.NilError(t, unix.Mkfifo(path, 0o600))
	writer, err := openWriter(path)
	assert.NilError(t, err)
	t.Cleanup(func() { writer.Close() })
	reader, err := openReader(path)
	assert.NilError(t, err)
	return newStream(reader, to), writer
}

func write(t *testing.T, to *os.File, text string) {
	t.Helper()
	_, err := to.WriteString(text)
	assert.NilError(t, err)
}

func TestStreamEndsWithItsWriters(t *testing.T) {
	to := newSink(16)
	s, writer := pipe(t, to)
	write(t, writer, "one\ntw")
	assert.Equal(t, <-to.writes, "one\n")
	write(t, writer, "o\n\nthree")
	writer.Close()
	assert.DeepEqual(t, to.all(), []string{"two\n", "\n", "three"})
	<-s.done
}

func TestStreamDeliversLongLinesInPieces(t *testing.T) {
	to := newSink(16)
	_, writer := pipe(t, to)
	line := strings.Repeat("x", 3*maxLine+maxLine/2) + "\n"
	write(t, writer, line)
	writer.Close()
	writes := to.all()
	assert.Equal(t, strings.Join(writes, ""), line)
	assert.Assert(t, len(writes) >= 3, "%d writes", len(writes))
	for _, write := range writes {
		assert.Assert(t, len(write) < 2*maxLine, "a write of %d bytes", len(write))
	}
}

func TestFinishDeliversWhatThePipeHolds(t *testing.T) {
	to := newSink(0)
	s, writer := pipe(t, to)
	write(t, writer, "first\n")
	// The sink takes nothing yet: the rest stays in the pipe.
	write(t, writer, strings.Repeat("held\n", 20_000))
	s.finish()
	assert.Equal(t, len(to.all()), 20_001)
	<-s.done
	write(t, writer, "this is not read, and the end of the writer is not awaited")
}

// A process that never stops writing must not keep a stream from its end.
func TestFinishEndsWhileAProcessWrites(t *testing.T) {
	to := newSink(1 << 20)
	s, writer := pipe(t, to)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = writer.SetWriteDeadline(time.Now().Add(time.Second))
				_, _ = unix.Write(int(writer.Fd()), []byte("more\n"))
			}
		}
	}()
	<-to.writes
	s.finish()
	<-s.done
	close(stop)
	drain, err := openReader(writer.Name())
	assert.NilError(t, err)
	defer drain.Close()
	for open := true; open; {
		select {
		case <-stopped:
			open = false
		default:
			_ = drain.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			_, _ = drain.Read(make([]byte, 64<<10))
		}
	}
}

func TestLeaveLeavesThePipeToTheNext(t *testing.T) {
	first := newSink(16)
	s, writer := pipe(t, first)
	write(t, writer, "one\nhalf")
	assert.Equal(t, <-first.writes, "one\n")
	s.leave()
	<-s.done
	rest := first.all()

	write(t, writer, " and half\ntwo\n")
	reader, err := openReader(writer.Name())
	assert.NilError(t, err)
	next := newSink(16)
	s = newStream(reader, next)
	writer.Close()
	got := strings.Join(slices.Concat(rest, next.all()), "")
	assert.Equal(t, got, "half and half\ntwo\n")
	<-s.done
}

func TestAFailingWriterDelaysNothing(t *testing.T) {
	to := newSink(100_000)
	to.fail = errors.New("disk full")
	_, writer := pipe(t, to)
	write(t, writer, strings.Repeat("line\n", 50_000))
	writer.Close()
	assert.Equal(t, len(to.all()), 50_000)
}

func TestWritersNeverMissAReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	assert.NilError(t, unix.Mkfifo(path, 0o600))
	writer, err := openWriter(path)
	assert.NilError(t, err)
	defer writer.Close()
	write(t, writer, strings.Repeat("x", 100_000))
	size, err := unix.FcntlInt(writer.Fd(), unix.F_GETPIPE_SZ, 0)
	assert.NilError(t, err)
	assert.Equal(t, size, pipeSize)
	flags, err := unix.FcntlInt(writer.Fd(), unix.F_GETFL, 0)
	assert.NilError(t, err)
	assert.Equal(t, flags&unix.O_NONBLOCK, 0, "a plugin would get EAGAIN")
}
