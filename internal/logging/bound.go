// SPDX-License-Identifier: Apache-2.0

package logging

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"

	"github.com/dovetailhq/plugin/internal/bounded"
)

// Bounds, with [bounded.Grace], of the wait for a log. A log blocks when the reader
// of its pipe or its terminal pauses.
const (
	// patience is for the logger of any daemon.
	patience = 4 * time.Second
	// outPatience is for the output of this program's logger. It is the shorter one,
	// so that the logger itself does not block.
	outPatience = time.Second
)

// door is the way of lines into a log. While the log does not take a line, further
// lines are dropped and counted.
type door struct {
	waiting atomic.Int64 // lines that the log has not taken within the patience
	lost    atomic.Int64 // lines that were dropped since
}

// pass calls write, and returns when write has returned or patience is over. It calls
// report with the number of lost lines when the log takes lines again.
func (d *door) pass(patience time.Duration, write func(), report func(lost int64)) {
	if d.waiting.Load() > 0 {
		d.lost.Add(1)
		return
	}
	call := bounded.Go(func() (struct{}, error) {
		write()
		return struct{}{}, nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, returned, _ := call.Await(ctx); returned {
		return
	}
	d.waiting.Add(1)
	go func() {
		<-call.Done()
		for n := d.lost.Swap(0); n > 0; n = d.lost.Swap(0) {
			report(n)
		}
		d.waiting.Add(-1)
	}()
}

func lostLines(n int64) string {
	return fmt.Sprintf("lines lost because the log took none: %d", n)
}

// entries is the door of this package's lines, to the logger of any daemon.
var entries door

// write writes a line, unless the logger blocks.
func (e Entry) write(level Level, line string) {
	entries.pass(patience,
		func() { e.entry.Log(level, line) },
		func(lost int64) { e.entry.Logger.Warn(lostLines(lost)) })
}

// MakePatient keeps the process's logger from blocking its callers, also those in
// other packages, such as docker's volume service. Lines that the output does not
// take are lost, and their number is logged. Only a program that owns the logger
// should call it. Further calls do nothing.
func MakePatient() { makePatient(log.L.Logger) }

func makePatient(logger *logrus.Logger) {
	if _, done := logger.Out.(*output); done {
		return
	}
	keepColors(logger)
	logger.SetOutput(&output{logger: logger, to: logger.Out})
}

// keepColors makes the logger use colors on a terminal although it can't see that
// its output is one.
func keepColors(logger *logrus.Logger) {
	file, isFile := logger.Out.(*os.File)
	formatter, isText := logger.Formatter.(*logrus.TextFormatter)
	if !isFile || !isText {
		return
	}
	if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		formatter.ForceColors = true
	}
}

// output is the output of a logger. Its writes return soon also when they block.
type output struct {
	door
	logger *logrus.Logger
	to     io.Writer
}

// Write implements [io.Writer]. It never fails: the logger has no other place for
// the line.
func (o *output) Write(line []byte) (int, error) {
	copied := bytes.Clone(line) // the caller reuses it
	o.pass(outPatience, func() { _, _ = o.to.Write(copied) }, o.report)
	return len(line), nil
}

func (o *output) report(lost int64) {
	entry := logrus.NewEntry(o.logger)
	entry.Time, entry.Level, entry.Message = time.Now(), logrus.WarnLevel, lostLines(lost)
	if line, err := o.logger.Formatter.Format(entry); err == nil {
		_, _ = o.to.Write(line)
	}
}
