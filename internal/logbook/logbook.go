// SPDX-License-Identifier: Apache-2.0

// Package logbook keeps the output of plugins: each line in memory and in two
// files of the plugin's directory, and within the plugin's rate in the daemon's
// log. A [Writer] takes the two streams of one run, a [Book] holds the lines of
// all runs. No write waits for a reader.
package logbook

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/dovetailhq/plugin/internal/layout"
)

const (
	// rememberedLines is how far a reader may fall behind.
	rememberedLines = 1000
	// maxLogFile is when the file is put aside; one older file is kept.
	maxLogFile = 1 << 20
	// idleLogFile is how long after its last line a plugin's file stays open:
	// most plugins write a few lines as they start, and none for weeks.
	idleLogFile = 5 * time.Second
)

// Line is one line that a plugin wrote.
type Line struct {
	Time   time.Time `json:"time"`
	Stream string    `json:"stream"` // stdout, stderr, or manager for a note of ours
	Text   string    `json:"log"`
}

// Book keeps the output of one plugin: the newest lines in memory for readers
// that follow, and more lines in two files. Writing never waits for a reader.
type Book struct {
	root *layout.Root
	id   string

	mu      sync.Mutex
	recent  []Line
	next    uint64 // number of the next line
	changed chan struct{}
	ended   bool
	file    *os.File // nil until the next line if none came for a while, and after an error
	size    int64
	written time.Time   // when the newest line was
	idle    *time.Timer // closes the file; nil before the first line
	failed  error       // of a close that no line waited for
}

// New returns the empty book of plugin id. The plugin's directory may not exist
// yet.
func New(root *layout.Root, id string) *Book {
	return &Book{root: root, id: id, changed: make(chan struct{})}
}

// Add takes a line. An error means that the file lacks it.
func (l *Book) Add(line Line) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil
	}
	if len(l.recent) == rememberedLines {
		l.recent = l.recent[1:]
	}
	l.recent = append(l.recent, line)
	l.next++
	l.wakeLocked()
	failed := l.failed
	l.failed = nil
	return errors.Join(failed, l.writeLocked(line))
}

func (l *Book) wakeLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *Book) writeLocked(line Line) error {
	if err := l.root.Check(); err != nil {
		return err
	}
	if err := l.openLocked(); err != nil {
		return err
	}
	encoded, err := json.Marshal(line)
	if err != nil {
		return err
	}
	n, err := l.file.Write(append(encoded, '\n'))
	l.size += int64(n)
	l.written = time.Now()
	l.idle.Reset(idleLogFile)
	if err != nil || l.size >= maxLogFile {
		err = errors.Join(err, l.closeFileLocked())
	}
	return err
}

func (l *Book) openLocked() error {
	if l.file != nil {
		return nil
	}
	path := l.root.Output(l.id)
	if info, err := os.Stat(path); err == nil && info.Size() >= maxLogFile {
		if err := l.root.RotateOutput(l.id); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	size, err := endLine(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	l.file, l.size = file, size
	if l.idle == nil {
		l.idle = time.AfterFunc(idleLogFile, l.closeIdle)
	}
	return nil
}

// endLine ends a line that a crash, or a full disk, has cut, so that the next
// one is not lost with it. It returns the size of the file.
func endLine(file *os.File) (size int64, err error) {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return 0, err
	}
	last := make([]byte, 1)
	if _, err := file.ReadAt(last, info.Size()-1); err != nil {
		return 0, err
	}
	if last[0] == '\n' {
		return info.Size(), nil
	}
	n, err := file.Write([]byte("\n"))
	return info.Size() + int64(n), err
}

func (l *Book) closeFileLocked() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// closeIdle closes the file unless a line has been written recently.
func (l *Book) closeIdle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.written) >= idleLogFile {
		l.failed = errors.Join(l.failed, l.closeFileLocked())
	}
}

// Close ends the book: with its plugin, or with its manager.
func (l *Book) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil
	}
	l.ended = true
	l.wakeLocked()
	if l.idle != nil {
		l.idle.Stop()
	}
	return errors.Join(l.failed, l.closeFileLocked())
}

// since returns the lines from number next on that are still in memory, how
// many before them are not, and what closes when there is more.
func (l *Book) since(next uint64) (lines []Line, missed uint64, changed <-chan struct{}, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := l.next - uint64(len(l.recent))
	if next < oldest {
		missed, next = oldest-next, oldest
	}
	return slices.Clone(l.recent[next-oldest:]), missed, l.changed, l.ended
}
