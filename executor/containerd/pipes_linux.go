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

// remove deletes the pipes, and their directory if nothing else is in it.
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

// streams are the near ends of a run's pipes.
type streams struct {
	readers, keepers []*os.File
	copies           []chan struct{}
}

// open makes the pipes, where they are not there yet, and opens their near
// ends. Until settle is called the far ends are held open as well: the shim
// need not be there yet, and may be gone any moment.
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

// settle leaves the far ends to the shim alone, so that their end is ours.
func (s *streams) settle() {
	for _, keeper := range s.keepers {
		keeper.Close()
	}
	s.keepers = nil
}

// copy hands on all output from here on, in goroutines of its own, and closes
// each writer when no more can come.
func (s *streams) copy(stdout, stderr io.WriteCloser) {
	s.copies = []chan struct{}{handOn(s.readers[0], stdout), handOn(s.readers[1], stderr)}
}

func handOn(from io.Reader, to io.WriteCloser) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		defer to.Close()
		buffer := make([]byte, 32<<10)
		for {
			n, err := from.Read(buffer)
			if n > 0 {
				// A writer that fails does not stop the plugin: its output is
				// read on, so that it never has to wait.
				_, _ = to.Write(buffer[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	return done
}

// finish waits until all output of a run that has ended is delivered, and
// closes the near ends. A process that holds on to the far ends, or a writer
// that blocks, is waited for no longer than handover.
func (s *streams) finish() {
	s.awaitCopies()
	s.close()
}

// leave closes the near ends; what the pipes hold is for the next reader. A
// writer that blocks is waited for no longer than handover.
func (s *streams) leave() {
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
	s.settle()
	for _, reader := range s.readers {
		reader.Close()
	}
}
