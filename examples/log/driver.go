// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"

	"github.com/docker/docker/api/types/plugins/logdriver"
)

// driver reads the FIFOs of containers. It keeps below root:
//
//	journals/CONTAINER    the entries of a container
//	streams/FIFO          the ID of the container that the FIFO of this name is for
type driver struct {
	root string

	mu       sync.Mutex
	journals map[string]*journal // by container
	streams  map[string]*stream  // by the path of the FIFO
}

// newDriver returns a driver that reads the FIFOs of an earlier one.
func newDriver(root string) (*driver, error) {
	d := &driver{root: root, journals: map[string]*journal{}, streams: map[string]*stream{}}
	for _, directory := range []string{"journals", "streams"} {
		if err := os.MkdirAll(filepath.Join(root, directory), 0o700); err != nil {
			return nil, fmt.Errorf("make directories: %w", err)
		}
	}
	earlier, err := os.ReadDir(filepath.Join(root, "streams"))
	if err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	for _, entry := range earlier {
		container, err := os.ReadFile(filepath.Join(root, "streams", entry.Name()))
		if err == nil {
			err = d.follow(filepath.Join(fifoDirectory, entry.Name()), string(container), syscall.O_NONBLOCK)
		}
		if err != nil {
			log.Printf("resume stream %s: %v", entry.Name(), err)
		}
	}
	return d, nil
}

// fifoDirectory is where the daemon makes FIFOs.
const fifoDirectory = "/run/docker/logging"

// stream is a FIFO that is read.
type stream struct {
	record string        // its file in streams
	done   chan struct{} // closed after the last entry
}

// start reads a container's FIFO until its end. It waits until the daemon has opened
// the FIFO.
func (d *driver) start(path, container string) error { return d.follow(path, container, 0) }

// follow reads a container's FIFO. With O_NONBLOCK it does not wait for the daemon: a
// FIFO that no daemon has open ends at once.
func (d *driver) follow(path, container string, flag int) error {
	j, err := d.journalOf(container)
	if err != nil {
		return err
	}
	s := &stream{record: filepath.Join(d.root, "streams", filepath.Base(path)), done: make(chan struct{})}
	if err := d.claim(path, s); err != nil {
		return err
	}
	fifo, err := s.open(path, container, flag)
	if err != nil {
		d.forget(path, s)
		return err
	}
	j.begin()
	go func() {
		defer d.forget(path, s)
		defer j.end()
		s.read(fifo, j)
	}()
	return nil
}

// claim makes sure that a FIFO has one reader.
func (d *driver) claim(path string, s *stream) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.streams[path]; ok {
		return fmt.Errorf("stream %s is being read", path)
	}
	d.streams[path] = s
	return nil
}

// forget drops a stream that ended.
func (d *driver) forget(path string, s *stream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = os.Remove(s.record)
	delete(d.streams, path)
	close(s.done)
}

// open records the container of a FIFO, and opens the FIFO.
func (s *stream) open(path, container string, flag int) (*os.File, error) {
	if err := os.WriteFile(s.record, []byte(container), 0o600); err != nil {
		return nil, fmt.Errorf("record stream: %w", err)
	}
	fifo, err := os.OpenFile(path, os.O_RDONLY|flag, 0)
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	return fifo, nil
}

// read adds the entries of a FIFO to a journal. It ends at an entry without content,
// or when the daemon has ended.
func (s *stream) read(fifo *os.File, j *journal) {
	defer fifo.Close()
	decoder := logdriver.NewLogEntryDecoder(fifo)
	for {
		var entry logdriver.LogEntry
		if err := decoder.Decode(&entry); err != nil || entry.Size() == 0 {
			return
		}
		if err := j.add(&entry); err != nil {
			log.Printf("an entry is lost: %v", err) // the container must not wait
		}
	}
}

// stop returns when all entries of a FIFO are in the journal. The daemon has written
// them, and closes the FIFO after this call.
func (d *driver) stop(path string) error {
	d.mu.Lock()
	s := d.streams[path]
	d.mu.Unlock()
	if s == nil {
		return nil
	}
	fifo, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		err = errors.Join(logdriver.NewLogEntryEncoder(fifo).Encode(&logdriver.LogEntry{}), fifo.Close())
	}
	if err != nil && !errors.Is(err, syscall.ENXIO) { // no reader: the stream has ended
		return fmt.Errorf("end stream: %w", err)
	}
	<-s.done
	return nil
}

// validID is the form of a container's ID. No path matches.
var validID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// journalOf returns the journal of a container.
func (d *driver) journalOf(container string) (*journal, error) {
	if !validID.MatchString(container) {
		return nil, fmt.Errorf("container ID %q is not one of docker's", container)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if j, ok := d.journals[container]; ok {
		return j, nil
	}
	j, err := openJournal(filepath.Join(d.root, "journals", container))
	if err == nil {
		d.journals[container] = j
	}
	return j, err
}
