// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// pipes are the named pipes of one run.
type pipes struct{ directory, stdout, stderr string }

func (e *Executor) pipes(id string) pipes {
	directory := filepath.Join(e.root, id)
	return pipes{directory, filepath.Join(directory, id+"-stdout"), filepath.Join(directory, id+"-stderr")}
}

// remove deletes the pipes, and their directory if it is empty then.
func (p pipes) remove() error {
	for _, pipe := range []string{p.stdout, p.stderr} {
		if err := os.Remove(pipe); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	err := unix.Rmdir(p.directory)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	return fmt.Errorf("remove %s: %w", p.directory, err)
}

// streams are the executor's ends of a run's pipes. Keepers hold the shim's ends
// open.
type streams struct {
	readers, keepers []*os.File
	copies           []chan struct{}
}

// open opens the executor's ends of the pipes, and makes the pipes if necessary. It
// also holds the shim's ends open until closeKeepers, because the shim may not have
// opened them yet, and may exit at any moment.
func (p pipes) open() (s *streams, err error) {
	if err := os.MkdirAll(p.directory, 0o700); err != nil {
		return nil, err
	}
	s = &streams{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	for _, pipe := range []string{p.stdout, p.stderr} {
		if err := unix.Mkfifo(pipe, 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("make fifo %s: %w", pipe, err)
		}
		keeper, err := os.OpenFile(pipe, os.O_RDWR|unix.O_NONBLOCK, 0)
		if err != nil {
			return nil, err
		}
		s.keepers = append(s.keepers, keeper)
		reader, err := os.OpenFile(pipe, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return nil, err
		}
		s.readers = append(s.readers, reader)
	}
	return s, nil
}

// closeKeepers makes the shim the only writer, so that readers see the end of
// output when the shim closes its ends.
func (s *streams) closeKeepers() {
	for _, keeper := range s.keepers {
		keeper.Close()
	}
	s.keepers = nil
}

// copy starts goroutines that forward all output. They close each writer at the end
// of its stream.
func (s *streams) copy(stdout, stderr io.WriteCloser) {
	s.copies = []chan struct{}{forward(s.readers[0], stdout), forward(s.readers[1], stderr)}
}

func forward(from io.Reader, to io.WriteCloser) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		defer to.Close()
		buffer := make([]byte, 32<<10)
		for {
			n, err := from.Read(buffer)
			if n > 0 {
				// Keep reading after a write error, so that the plugin never
				// blocks on its output.
				_, _ = to.Write(buffer[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	return done
}

// finish waits until all output of an ended run is delivered, and closes the
// streams. It waits at most handover for a process that holds the pipes open, or a
// writer that blocks.
func (s *streams) finish() {
	s.awaitCopies()
	s.close()
}

// detach closes the streams and leaves the content of the pipes to the next reader.
// It waits at most handover for a writer that blocks.
func (s *streams) detach() {
	s.close()
	s.awaitCopies()
}

func (s *streams) awaitCopies() {
	limit := time.NewTimer(handover)
	defer limit.Stop()
	for _, done := range s.copies {
		select {
		case <-done:
		case <-limit.C:
			return
		}
	}
}

func (s *streams) close() {
	s.closeKeepers()
	for _, reader := range s.readers {
		reader.Close()
	}
}
