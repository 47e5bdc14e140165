package plugin

import (
	"bytes"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/dovetailhq/plugin/internal/logging"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

const (
	// keptLines is how many of a run's last lines an error quotes.
	keptLines = 20
	// maxLine bounds what a plugin that writes no newline can make us hold.
	maxLine = 16 << 10
	// drainTime is how long the last lines of a process that ended may take.
	drainTime = 200 * time.Millisecond
)

// output receives what one run writes: each line goes to the plugin's logbook
// and, within the plugin's rate, to the daemon's log; the last ones are kept.
type output struct {
	logger  logging.Entry
	rate    *rateLimit
	logbook *logbook

	mu     sync.Mutex
	kept   []string // oldest first
	open   int      // streams not closed yet
	closed chan struct{}
}

func newOutput(u *unit) *output {
	return &output{
		logger:  u.logger(),
		rate:    &u.outputRate,
		logbook: u.logbook,
		open:    2,
		closed:  make(chan struct{}),
	}
}

func (o *output) stdout() io.WriteCloser {
	return &stream{output: o, name: "stdout", level: logging.InfoLevel}
}

func (o *output) stderr() io.WriteCloser {
	return &stream{output: o, name: "stderr", level: logging.ErrorLevel}
}

// last returns the last lines, waiting a little for those that are on their
// way from a process that just ended.
func (o *output) last() []string {
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-o.closed:
	case <-timer.C:
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.kept)
}

func (o *output) line(s *stream, text string) {
	now := time.Now()
	err := o.logbook.add(LogLine{Time: now, Stream: s.name, Text: text})
	verdict := o.rate.take(now, func() int { return logCost(plaintext.Quote(text)) })
	o.noteMissing(verdict.missing)
	if verdict.write {
		o.logger.Log(s.level, text)
	}
	if verdict.write && err != nil {
		o.logger.WithError(err).Warn("write plugin output to its file")
	}
	if verdict.mutes {
		o.logger.Warnf("plugin writes more than %d KiB a second: lines are left out here, the plugin's own log has them", outputRate>>10)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.kept) == keptLines {
		o.kept = o.kept[1:]
	}
	o.kept = append(o.kept, text)
}

func (o *output) noteMissing(lines int) {
	if lines > 0 {
		o.logger.WithField("lines", lines).Warn("lines of plugin output were left out")
	}
}

func (o *output) closeOne() {
	o.mu.Lock()
	o.open--
	last := o.open == 0
	o.mu.Unlock()
	if last {
		o.noteMissing(o.rate.end())
		close(o.closed)
	}
}

// stream cuts one of the two streams into lines.
type stream struct {
	output *output
	name   string
	level  logging.Level

	mu      sync.Mutex
	partial []byte
	closed  bool
}

// Write never fails and never waits for a reader.
func (s *stream) Write(data []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partial = append(s.partial, data...)
	for {
		end := bytes.IndexByte(s.partial, '\n')
		if end < 0 && len(s.partial) < maxLine {
			return len(data), nil
		}
		if end < 0 || end > maxLine {
			end = maxLine
			s.output.line(s, string(s.partial[:end]))
			s.partial = s.partial[end:]
			continue
		}
		s.output.line(s, string(bytes.TrimSuffix(s.partial[:end], []byte("\r"))))
		s.partial = s.partial[end+1:]
	}
}

// Close flushes a last line that has no newline.
func (s *stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if len(s.partial) > 0 {
		s.output.line(s, string(s.partial))
		s.partial = nil
	}
	s.output.closeOne()
	return nil
}
