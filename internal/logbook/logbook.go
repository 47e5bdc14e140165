package plugin

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

// logbook keeps what one plugin writes: the newest lines in memory for those
// who follow, and more of them in two files. Writing never waits for a reader.
type logbook struct {
	root *layout.Root
	id   string

	mu      sync.Mutex
	recent  []LogLine
	next    uint64 // number of the next line
	changed chan struct{}
	ended   bool
	file    *os.File // nil until the next line if none came for a while, and after an error
	size    int64
	written time.Time   // when the newest line was
	idle    *time.Timer // closes the file; nil before the first line
	failed  error       // of a close that no line waited for
}

func newLogbook(root *layout.Root, id string) *logbook {
	return &logbook{root: root, id: id, changed: make(chan struct{})}
}

// add takes a line. An error means that the file lacks it.
func (l *logbook) add(line LogLine) error {
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

func (l *logbook) wakeLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *logbook) writeLocked(line LogLine) error {
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

func (l *logbook) openLocked() error {
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

func (l *logbook) closeFileLocked() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// closeIdle closes the file unless a line came meanwhile.
func (l *logbook) closeIdle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.written) >= idleLogFile {
		l.failed = errors.Join(l.failed, l.closeFileLocked())
	}
}

// close ends the book: with its plugin, or with its manager.
func (l *logbook) close() error {
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
func (l *logbook) since(next uint64) (lines []LogLine, missed uint64, changed <-chan struct{}, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := l.next - uint64(len(l.recent))
	if next < oldest {
		missed, next = oldest-next, oldest
	}
	return slices.Clone(l.recent[next-oldest:]), missed, l.changed, l.ended
}
