// SPDX-License-Identifier: Apache-2.0

package logbook

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/logging"
)

// daemonLog is a formatter that keeps messages, with the field lines, and
// counts the bytes of lines in the longer one of logrus' formats.
type daemonLog struct {
	mu    sync.Mutex
	lines []string
	bytes int
}

func (d *daemonLog) Format(e *logrus.Entry) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	line := *e
	line.Buffer = nil // each formatter appends to it
	text, err := (&logrus.TextFormatter{}).Format(&line)
	if err != nil {
		return nil, err
	}
	asJSON, err := (&logrus.JSONFormatter{}).Format(&line)
	if err != nil {
		return nil, err
	}
	d.bytes += max(len(text), len(asJSON))
	if missing, ok := e.Data["lines"]; ok {
		d.lines = append(d.lines, fmt.Sprintf("%s: %d", e.Message, missing))
	} else {
		d.lines = append(d.lines, e.Message)
	}
	return nil, nil
}

// newWriter returns the Writer of a plugin with a new logbook, and the daemon's log.
func newWriter(t *testing.T) (*Writer, *daemonLog) {
	t.Helper()
	files := durable.Default
	root, err := layout.Open(t.TempDir(), &files)
	assert.NilError(t, err)
	id := strings.Repeat("a", 64)
	assert.NilError(t, os.Mkdir(filepath.Dir(root.Output(id)), 0o700))
	kept := &daemonLog{}
	logger := logrus.New()
	logger.SetFormatter(kept)
	o := NewWriter(New(root, id), &Rate{}, logging.G(log.WithLogger(t.Context(), logrus.NewEntry(logger))))
	t.Cleanup(func() {
		assert.Check(t, o.book.Close())
		root.Close()
	})
	return o, kept
}

const noted = "plugin writes more than 32 KiB a second: lines are left out here, the plugin's own log has them"

// TestFloodIsBounded writes far more than a plugin's share for 20 seconds, in lines
// of each form.
func TestFloodIsBounded(t *testing.T) {
	for _, tc := range []struct {
		name  string
		line  string
		lines int // a second
	}{
		{"short lines", strings.Repeat("x", 99) + "\n", 1000},
		{"empty lines", "\n", 1000},
		{"long lines", strings.Repeat("x", maxLine-1) + "\n", 100},
		{"no lines", strings.Repeat("x", maxLine), 100},
		{"what is escaped", strings.Repeat("\x1b", maxLine-1) + "\n", 10},
		{"invisible text", strings.Repeat("\U000E0041", maxLine/4-1) + "\n", 10},
		{"backslashes", strings.Repeat("\\", maxLine-1) + "\n", 10},
		{"quotes", strings.Repeat("\"", maxLine-1) + "\n", 10},
		{"tags", strings.Repeat("<>&", maxLine/3) + "\n", 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, daemon := newWriter(t)
				written := 0
				stdout, stderr := o.Stdout(), o.Stderr()
				for range 20 {
					for range tc.lines {
						_, err := stdout.Write([]byte(tc.line))
						assert.NilError(t, err)
						written++
					}
					time.Sleep(time.Second)
				}
				assert.NilError(t, stdout.Close())
				assert.NilError(t, stderr.Close())
				assert.Check(t, daemon.bytes < outputBurst+20*outputRate+maxLine, "%d bytes", daemon.bytes)

				shown, missing := 0, 0
				for _, line := range daemon.lines {
					var n int
					if _, err := fmt.Sscanf(line, "lines of plugin output were left out: %d", &n); err == nil {
						missing += n
					} else if line != noted {
						shown++
					}
				}
				assert.Check(t, shown < written)
				assert.Check(t, is.Equal(shown+missing, written), "lines are unaccounted for")

				lines, missed, _, _ := o.book.since(0)
				assert.Check(t, is.Equal(len(lines)+int(missed), written), "the plugin's own log lacks lines")
			})
		})
	}
}

// TestChattyPluginIsHeard writes a stack trace, and then a line ten times a
// second for an hour.
func TestChattyPluginIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, daemon := newWriter(t)
		stdout := o.Stdout()
		for range 1000 {
			_, err := stdout.Write([]byte(strings.Repeat("x", 200) + "\n"))
			assert.NilError(t, err)
		}
		for range 36_000 {
			time.Sleep(100 * time.Millisecond)
			_, err := stdout.Write([]byte("again\n"))
			assert.NilError(t, err)
		}
		assert.Check(t, is.Len(daemon.lines, 37_000))
	})
}

// TestMutedPluginIsHeardAgain checks the order of the log entries.
func TestMutedPluginIsHeardAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, daemon := newWriter(t)
		o.rate = &Rate{spent: outputBurst, at: time.Now()}
		stdout := o.Stdout()
		write := func(text string) {
			_, err := stdout.Write([]byte(text + "\n"))
			assert.NilError(t, err)
		}
		write("one")
		write("two")
		time.Sleep(time.Second) // there is room for it, and not for many
		write("three")
		time.Sleep(outputBurst / outputRate * time.Second)
		write("four")
		assert.NilError(t, stdout.Close())
		o.rate.spent = outputBurst
		stderr := o.Stderr()
		_, err := stderr.Write([]byte("five"))
		assert.NilError(t, err)
		assert.NilError(t, stderr.Close())
		assert.DeepEqual(t, daemon.lines, []string{
			noted, "lines of plugin output were left out: 3", "four",
			noted, "lines of plugin output were left out: 1",
		})
	})
}

func TestRateLimit(t *testing.T) {
	began := time.Now()
	for _, tc := range []struct {
		name  string
		limit *Rate
		after time.Duration
		bytes int
		want  verdict
	}{
		{"the first line", &Rate{}, 0, 100, verdict{write: true}},
		{"the last that fits", &Rate{spent: outputBurst - 100 - lineOverhead, at: began}, 0, 100, verdict{write: true}},
		{"the first that does not", &Rate{spent: outputBurst - 99 - lineOverhead, at: began}, 0, 100, verdict{mutes: true}},
		{"one more", &Rate{spent: outputBurst, at: began, muted: true, missing: 1}, time.Second, 100, verdict{}},
		{"a quarter is there", &Rate{spent: outputBurst, at: began, muted: true, missing: 7}, outputBurst / 4 / outputRate * time.Second, 100, verdict{write: true, missing: 7}},
		{"a clock that went back", &Rate{spent: 0, at: began}, -time.Hour, 100, verdict{write: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.limit.take(began.Add(tc.after), func() int { return tc.bytes }), tc.want)
		})
	}
}
