// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/docker/docker/api/types/plugins/logdriver"
)

// journal is the log of a container: a file of entries as the FIFO has them. It is
// safe for concurrent use.
type journal struct {
	file *os.File

	mu      sync.Mutex
	size    int64         // of the complete entries
	live    int           // streams that can add entries
	changed chan struct{} // closed and replaced with each change
}

// openJournal opens the journal at path, or begins one. It drops an entry that a crash
// left incomplete.
func openJournal(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &journal{file: file, changed: make(chan struct{})}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open journal: %w", err), file.Close())
	}
	counted := &countingReader{reader: io.NewSectionReader(file, 0, info.Size())}
	decoder := logdriver.NewLogEntryDecoder(counted)
	for decoder.Decode(&logdriver.LogEntry{}) == nil {
		j.size = counted.read
	}
	return j, nil
}

// countingReader counts what was read.
type countingReader struct {
	reader io.Reader
	read   int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.reader.Read(p)
	c.read += int64(n)
	return n, err
}

// add appends an entry.
func (j *journal) add(entry *logdriver.LogEntry) error {
	var encoded bytes.Buffer
	if err := logdriver.NewLogEntryEncoder(&encoded).Encode(entry); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.WriteAt(encoded.Bytes(), j.size); err != nil {
		return err // the next entry replaces what was written of this one
	}
	j.size += int64(encoded.Len())
	j.announceLocked()
	return nil
}

// begin says that a stream will add entries, until end.
func (j *journal) begin() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.live++
}

// end undoes one begin.
func (j *journal) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.live--
	j.announceLocked()
}

func (j *journal) announceLocked() {
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *journal) state() (size int64, live bool, changed <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.size, j.live > 0, j.changed
}

// read calls take for the entries that a config asks for. If it asks to follow, read
// returns when no stream adds entries or ctx ends, and calls flush before it waits.
func (j *journal) read(ctx context.Context, config readConfig, take func(*logdriver.LogEntry) error, flush func() error) error {
	size, live, changed := j.state()
	skip, err := j.surplus(size, config)
	if err != nil {
		return err
	}
	for done := int64(0); ; size, live, changed = j.state() {
		err := j.each(done, size, config, func(entry *logdriver.LogEntry) error {
			if skip > 0 {
				skip--
				return nil
			}
			return take(entry)
		})
		if err != nil || !config.Follow || !live {
			return err
		}
		if err := flush(); err != nil {
			return err
		}
		done = size
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// surplus returns how many entries come before the last ones that a config asks for.
func (j *journal) surplus(size int64, config readConfig) (int, error) {
	if config.Tail < 0 {
		return 0, nil
	}
	count := 0
	err := j.each(0, size, config, func(*logdriver.LogEntry) error { count++; return nil })
	return max(0, count-config.Tail), err
}

// each calls do for the entries in a part of the file that a config takes.
func (j *journal) each(from, to int64, config readConfig, do func(*logdriver.LogEntry) error) error {
	decoder := logdriver.NewLogEntryDecoder(io.NewSectionReader(j.file, from, to-from))
	for {
		var entry logdriver.LogEntry
		switch err := decoder.Decode(&entry); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if !config.takes(&entry) {
			continue
		}
		if err := do(&entry); err != nil {
			return err
		}
	}
}
