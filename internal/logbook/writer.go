// SPDX-License-Identifier: Apache-2.0

package logbook

import (
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/logging"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

const (
	// keptLines is how many of a run's last lines an error quotes.
	keptLines = 20
	// maxLine caps the memory for a line without a newline.
	maxLine = 16 << 10
	// drainTime is how long the last lines of a process that ended may take.
	drainTime = 200 * time.Millisecond
)

// Writer receives what one run writes: each line goes to the plugin's logbook
// and, within the plugin's rate, to the daemon's log; the last ones are kept.
type Writer struct {
	logger logging.Entry
	rate   *Rate
	book   *Book

	mu     sync.Mutex
	kept   []string // oldest first
	open   int      // streams not closed yet
	closed chan struct{}
}

// NewWriter returns the writer of a new run, with the rate of all runs.
func NewWriter(book *Book, rate *Rate, daemon logging.Entry) *Writer {
	return &Writer{logger: daemon, rate: rate, book: book, open: 2, closed: make(chan struct{})}
}

// Stdout returns the stream of ordinary output. It must be closed.
func (w *Writer) Stdout() io.WriteCloser {
	return w.stream("stdout", logging.InfoLevel)
}

// Stderr returns the stream of errors. It must be closed.
func (w *Writer) Stderr() io.WriteCloser {
	return w.stream("stderr", logging.ErrorLevel)
}

// Last returns the last lines, waiting a little for those that are on their
// way from a process that just ended.
func (w *Writer) Last() []string {
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-w.closed:
	case <-timer.C:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.kept)
}

func (w *Writer) line(s *stream, text string) {
	now := time.Now()
	err := w.book.Add(Line{Time: now, Stream: s.name, Text: text})
	verdict := w.rate.take(now, func() int { return logCost(plaintext.Quote(text)) })
	w.noteMissing(verdict.missing)
	if verdict.write {
		w.logger.Log(s.level, text)
	}
	if verdict.write && err != nil {
		w.logger.WithError(err).Warn("write plugin output to its file")
	}
	if verdict.mutes {
		w.logger.Warnf("plugin writes more than %d KiB a second: lines are left out here, the plugin's own log has them", outputRate>>10)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.kept) == keptLines {
		w.kept = w.kept[1:]
	}
	w.kept = append(w.kept, text)
}

func (w *Writer) noteMissing(lines int) {
	if lines > 0 {
		w.logger.WithField("lines", lines).Warn("lines of plugin output were left out")
	}
}

func (w *Writer) closeOne() {
	w.mu.Lock()
	w.open--
	last := w.open == 0
	w.mu.Unlock()
	if last {
		w.noteMissing(w.rate.end())
		close(w.closed)
	}
}

// stream cuts one of the two streams into lines.
type stream struct {
	writer *Writer
	name   string
	level  logging.Level

	mu     sync.Mutex
	cutter bounded.Cutter
	closed bool
}

func (w *Writer) stream(name string, level logging.Level) *stream {
	return &stream{writer: w, name: name, level: level, cutter: bounded.Cutter{Max: maxLine}}
}

// Write never fails and never waits for a reader.
func (s *stream) Write(data []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutter.Cut(data, s.line)
	return len(data), nil
}

func (s *stream) line(line []byte) {
	text, complete := strings.CutSuffix(string(line), "\n")
	if complete {
		text = strings.TrimSuffix(text, "\r")
	}
	s.writer.line(s, text)
}

// Close flushes a last line that has no newline.
func (s *stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.cutter.Flush(s.line)
	s.writer.closeOne()
	return nil
}
