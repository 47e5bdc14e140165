package plugin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/dovetailhq/plugin/internal/layout"
)

const (
	// rememberedLines is how far a reader may fall behind.
	rememberedLines = 1000
	// maxLogFile is when the file is put aside; one older file is kept.
	maxLogFile = 1 << 20
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
	file    *os.File // nil until the first line, and after an error
	size    int64
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
	return l.writeLocked(line)
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
	if err != nil || l.size >= maxLogFile {
		err = errors.Join(err, l.file.Close())
		l.file = nil
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
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	l.file, l.size = file, info.Size()
	return nil
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
	if l.file == nil {
		return nil
	}
	return l.file.Close()
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

// history returns the lines in the files, and the number of the line that
// follows them.
func (l *logbook) history() ([]LogLine, uint64, error) {
	files, size, next, err := l.openFiles()
	if err != nil {
		return nil, 0, err
	}
	var lines []LogLine
	for i, file := range files {
		var source io.Reader = file
		if i == len(files)-1 {
			source = io.LimitReader(file, size)
		}
		lines = append(lines, readLines(source)...)
		_ = file.Close() // it was only read
	}
	return lines, next, nil
}

// openFiles opens what files there are, oldest first, to be read at leisure.
// The last one may grow meanwhile; size is what it holds now.
func (l *logbook) openFiles() (files []*os.File, size int64, next uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	path := l.root.Output(l.id)
	for _, name := range []string{path + layout.OlderSuffix, path} {
		file, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, 0, 0, err
		}
		files = append(files, file)
		info, err := file.Stat()
		if err != nil {
			return nil, 0, 0, err
		}
		size = info.Size()
	}
	return files, size, l.next, nil
}

// readLines leaves out what is no line of ours: a crash may have cut one.
func readLines(r io.Reader) []LogLine {
	var lines []LogLine
	reader := bufio.NewReader(r)
	for {
		data, err := reader.ReadBytes('\n')
		var line LogLine
		if len(bytes.TrimSpace(data)) > 0 && json.Unmarshal(data, &line) == nil {
			lines = append(lines, line)
		}
		if err != nil {
			return lines
		}
	}
}
