// SPDX-License-Identifier: Apache-2.0

//go:build linux

package logbook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/layout"
)

// bookOn opens the logbook of a plugin "p" below a root, as a manager does
// that starts.
func bookOn(t *testing.T, dir string) *Book {
	t.Helper()
	files := durable.Default
	root, err := layout.Open(dir, &files)
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, root.Close()) })
	assert.NilError(t, os.MkdirAll(root.Plugin("p"), 0o700))
	return New(root, "p")
}

func (l *Book) mustAdd(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		assert.NilError(t, l.Add(Line{Time: time.Now(), Stream: "stdout", Text: text}))
	}
}

// texts returns what the files hold, and the error that comes last.
func (l *Book) texts(t *testing.T) (texts []string, err error) {
	t.Helper()
	files, err := l.open()
	if err != nil {
		return nil, err
	}
	defer files.close()
	for line, err := range files.lines() {
		if err != nil {
			return texts, err
		}
		texts = append(texts, line.Text)
	}
	return texts, nil
}

// descriptors returns those of this process that are of files below dir.
func descriptors(t *testing.T, dir string) (open []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	assert.NilError(t, err)
	for _, entry := range entries {
		target, err := os.Readlink("/proc/self/fd/" + entry.Name())
		if err == nil && strings.HasPrefix(target, dir+"/") {
			open = append(open, target)
		}
	}
	return open
}

// TestLineAfterACutOne cuts the file after each of its bytes, as a crash or a
// full disk does.
func TestLineAfterACutOne(t *testing.T) {
	dir := t.TempDir()
	l := bookOn(t, dir)
	l.mustAdd(t, "one", "two")
	assert.NilError(t, l.Close())
	path := l.root.Output("p")
	whole, err := os.ReadFile(path)
	assert.NilError(t, err)
	first := strings.IndexByte(string(whole), '\n') + 1
	for size := range len(whole) + 1 {
		assert.NilError(t, os.WriteFile(path, whole[:size], 0o600))
		next := New(l.root, "p")
		next.mustAdd(t, "three", "four")
		texts, err := next.texts(t)
		assert.NilError(t, err)
		want := []string{"three", "four"}
		switch {
		case size >= len(whole)-1: // the line's end alone may be cut
			want = []string{"one", "two", "three", "four"}
		case size >= first-1:
			want = []string{"one", "three", "four"}
		}
		assert.DeepEqual(t, texts, want)
		assert.NilError(t, next.Close())
	}
}

// TestLogFileIsOpenWhileLinesCome counts descriptors.
func TestLogFileIsOpenWhileLinesCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := bookOn(t, dir)
		defer func() { assert.Check(t, l.Close()) }()
		for i := range 3 {
			l.mustAdd(t, fmt.Sprint(i))
			assert.Equal(t, len(descriptors(t, dir)), 1)
			time.Sleep(idleLogFile - time.Nanosecond)
			synctest.Wait()
			assert.Equal(t, len(descriptors(t, dir)), 1)
		}
		time.Sleep(idleLogFile)
		synctest.Wait()
		assert.Equal(t, len(descriptors(t, dir)), 0, "a plugin that is silent keeps a descriptor")
		l.mustAdd(t, "later")
		texts, err := l.texts(t)
		assert.NilError(t, err)
		assert.DeepEqual(t, texts, []string{"0", "1", "2", "later"})
	})
}

// TestFailedReadsLeaveNothingOpen makes the second of two files impossible to open,
// or to read.
func TestFailedReadsLeaveNothingOpen(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"opened": func(path string) error { return os.Symlink(path, path) },
		"read":   func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := bookOn(t, dir)
			l.mustAdd(t, "older")
			assert.NilError(t, l.root.RotateOutput("p"))
			assert.NilError(t, l.Close())
			assert.NilError(t, damage(l.root.Output("p")))
			_, err := l.texts(t)
			assert.Check(t, err != nil, "an error of the file system is lost")
			assert.Equal(t, len(descriptors(t, dir)), 0)
		})
	}
}

// TestLinesAreReadAsTheyAreAskedFor empties the file after the first line: what
// is not read yet is gone.
func TestLinesAreReadAsTheyAreAskedFor(t *testing.T) {
	dir := t.TempDir()
	l := bookOn(t, dir)
	long := strings.Repeat("x", 1000)
	for range 100 {
		l.mustAdd(t, long)
	}
	assert.NilError(t, l.Close())
	files, err := l.open()
	assert.NilError(t, err)
	defer files.close()
	seen := 0
	for range files.lines() {
		if seen++; seen == 1 {
			assert.NilError(t, os.Truncate(filepath.Join(dir, "p", filepath.Base(l.root.Output("p"))), 0))
		}
	}
	assert.Check(t, seen < 10, "%d lines were read ahead", seen)
}

func TestOptionsChoose(t *testing.T) {
	began := time.Now()
	lines := func(yield func(Line, error) bool) {
		for i := range 10 {
			if !yield(Line{Time: began.Add(time.Duration(i) * time.Second), Text: fmt.Sprint(i)}, nil) {
				return
			}
		}
		yield(Line{}, context.Canceled)
	}
	for _, tt := range []struct {
		name    string
		options Options
		want    string
	}{
		{"all", Options{}, "0123456789"},
		{"tail", Options{Tail: 3}, ""},
		{"since", Options{Since: began.Add(7 * time.Second)}, "789"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen strings.Builder
			var last error
			for line, err := range tt.options.choose(lines) {
				seen.WriteString(line.Text)
				last = err
			}
			assert.Equal(t, seen.String(), tt.want)
			assert.Check(t, is.ErrorIs(last, context.Canceled))
		})
	}
	healthy := func(yield func(Line, error) bool) {
		for line, err := range lines {
			if errors.Is(err, context.Canceled) || !yield(line, nil) {
				return
			}
		}
	}
	for tail, want := range map[int]string{-1: "", 1: "9", 3: "789", 10: "0123456789", 1 << 62: "0123456789"} {
		var seen strings.Builder
		for line, err := range (Options{Tail: tail}).choose(healthy) {
			assert.NilError(t, err)
			seen.WriteString(line.Text)
		}
		assert.Equal(t, seen.String(), want)
	}
}
