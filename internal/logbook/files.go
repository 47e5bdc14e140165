// SPDX-License-Identifier: Apache-2.0

package logbook

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

// logFiles are the open files of one logbook. Concurrent writes, rotations and
// deletions don't affect what they read.
type logFiles struct {
	files []*os.File // oldest first
	size  int64      // of the last one when it was opened; it may grow
	next  uint64     // number of the line that follows
}

// open opens the files that exist. The caller must call close.
func (l *Book) open() (*logFiles, error) {
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

// lines reads lines on demand. An error comes last.
func (f *logFiles) lines() iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
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

// readLines yields the lines of source. It skips lines that can't be decoded,
// because a crash may have cut one. It reports whether to continue.
func readLines(source io.Reader, yield func(Line, error) bool) bool {
	reader := bufio.NewReader(source)
	for {
		data, err := reader.ReadBytes('\n')
		var line Line
		if len(bytes.TrimSpace(data)) > 0 && json.Unmarshal(data, &line) == nil && !yield(line, nil) {
			return false
		}
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			yield(Line{}, err)
			return false
		}
	}
}
