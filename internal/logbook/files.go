package plugin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"

	"github.com/dovetailhq/plugin/internal/layout"
)

// logFiles are the open files of one logbook, to be read at leisure: what is
// written, rotated or deleted meanwhile changes nothing.
type logFiles struct {
	files []*os.File // oldest first
	size  int64      // of the last one when it was opened; it may grow
	next  uint64     // number of the line that follows
}

// open opens what files there are. Close must follow.
func (l *logbook) open() (*logFiles, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &logFiles{next: l.next}
	path := l.root.Output(l.id)
	for _, name := range []string{path + layout.OlderSuffix, path} {
		if err := f.add(name); err != nil {
			f.close()
			return nil, err
		}
	}
	return f, nil
}

func (f *logFiles) add(name string) error {
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f.files = append(f.files, file)
	info, err := file.Stat()
	if err != nil {
		return err
	}
	f.size = info.Size()
	return nil
}

func (f *logFiles) close() {
	for _, file := range f.files {
		_ = file.Close() // it was only read
	}
	f.files = nil
}

// lines reads a line as it is asked for. An error comes last.
func (f *logFiles) lines() iter.Seq2[LogLine, error] {
	return func(yield func(LogLine, error) bool) {
		for i, file := range f.files {
			var source io.Reader = file
			if i == len(f.files)-1 {
				source = io.LimitReader(file, f.size)
			}
			if !readLines(source, yield) {
				return
			}
		}
	}
}

// readLines leaves out what is no line of ours: a crash may have cut one. It
// reports whether to go on.
func readLines(source io.Reader, yield func(LogLine, error) bool) bool {
	reader := bufio.NewReader(source)
	for {
		data, err := reader.ReadBytes('\n')
		var line LogLine
		if len(bytes.TrimSpace(data)) > 0 && json.Unmarshal(data, &line) == nil && !yield(line, nil) {
			return false
		}
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			yield(LogLine{}, err)
			return false
		}
	}
}
