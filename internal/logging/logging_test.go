// SPDX-License-Identifier: Apache-2.0

package logging

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

const hostile = "safe\r\x1b[2J\u009b1A\u202e\x7f\xffend"

// raw is a formatter that writes lines unchanged, like on a terminal.
type raw struct{}

func (raw) Format(e *logrus.Entry) ([]byte, error) {
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s", e.Message)
	for key, value := range e.Data {
		fmt.Fprintf(&text, " %s=%v", key, value)
	}
	return text.Bytes(), nil
}

// recording returns a logger and the buffer of its lines.
func recording(t *testing.T) (Entry, *bytes.Buffer) {
	t.Helper()
	var written bytes.Buffer
	logger := logrus.New()
	logger.SetOutput(&written)
	logger.SetFormatter(raw{})
	logger.SetLevel(logrus.DebugLevel)
	return G(log.WithLogger(t.Context(), logrus.NewEntry(logger))), &written
}

// Every method of Entry quotes hostile text.
func TestLinesArePlain(t *testing.T) {
	for _, tc := range []struct {
		name  string
		write func(Entry)
	}{
		{"an error", func(e Entry) { e.WithError(errors.New(hostile)).Warn("") }},
		{"a wrapped error", func(e Entry) { e.WithError(fmt.Errorf("%s: %w", hostile, fs.ErrExist)).Warn("") }},
		{"a field", func(e Entry) { e.WithField("a", hostile).Warn("") }},
		{"a field's error", func(e Entry) { e.WithField("a", errors.New(hostile)).Warn("") }},
		{"a field's list", func(e Entry) { e.WithField("a", []string{hostile}).Warn("") }},
		{"a field's struct", func(e Entry) { e.WithField("a", struct{ B string }{hostile}).Warn("") }},
		{"fields", func(e Entry) { e.WithFields(Fields{"a": hostile, "b": errors.New(hostile)}).Warn("") }},
		{"debug", func(e Entry) { e.Debug(hostile) }},
		{"info", func(e Entry) { e.Info(hostile) }},
		{"warn", func(e Entry) { e.Warn(hostile) }},
		{"error", func(e Entry) { e.Error(hostile) }},
		{"warnf", func(e Entry) { e.Warnf("%s", hostile) }},
		{"errorf", func(e Entry) { e.Errorf("%s", hostile) }},
		{"log", func(e Entry) { e.Log(ErrorLevel, hostile) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			entry, written := recording(t)
			tc.write(entry)
			assert.Check(t, is.Contains(written.String(), `safe\r\x1b[2J\u009b1A\u202e\x7f\xffend`))
			assert.Check(t, plaintext.Is(written.String()), "%q", written)
		})
	}
}

func TestNumbersStayNumbers(t *testing.T) {
	entry, _ := recording(t)
	fields := entry.WithFields(Fields{"code": 1, "bytes": int64(2), "killed": true, "took": time.Second}).entry.Data
	assert.DeepEqual(t, map[string]any(fields), map[string]any{"code": 1, "bytes": int64(2), "killed": true, "took": "1s"})
}

func TestErrorsStayErrors(t *testing.T) {
	entry, _ := recording(t)
	err, isError := entry.WithError(fmt.Errorf("%s: %w", hostile, fs.ErrExist)).entry.Data[logrus.ErrorKey].(error)
	assert.Assert(t, isError)
	assert.ErrorIs(t, err, fs.ErrExist)
}

// MakePlain quotes lines written directly by the logger, like those of other
// packages.
func TestOthersLinesArePlain(t *testing.T) {
	logger := log.L.Logger
	formatter, out := logger.Formatter, logger.Out
	defer func() {
		logger.SetFormatter(formatter)
		logger.SetOutput(out)
	}()
	var written bytes.Buffer
	logger.SetOutput(&written)
	logger.SetFormatter(raw{})
	MakePlain()
	MakePlain()
	log.L.WithError(errors.New(hostile)).WithField("count", 7).Errorf("%s", hostile)
	const want = `safe\r\x1b[2J\u009b1A\u202e\x7f\xffend`
	assert.Check(t, is.Equal(strings.Count(written.String(), want), 2))
	assert.Check(t, is.Contains(written.String(), "count=7"))
	assert.Check(t, plaintext.Is(written.String()), "%q", &written)
}
