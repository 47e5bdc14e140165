// SPDX-License-Identifier: Apache-2.0

package logging

import (
	"bytes"
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/bounded"
)

// paused is a log with a reader that pauses until read is closed.
type paused struct {
	read chan struct{}

	mu   sync.Mutex
	text string
}

func (p *paused) Write(line []byte) (int, error) {
	<-p.read
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text += string(line) + "\n"
	return len(line), nil
}

// TestALogThatBlocksDelaysLittle pauses the reader of the log. The first line takes
// a bounded time and later lines none. The log reports the lines that it lost, and
// then takes lines again.
func TestALogThatBlocksDelaysLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &paused{read: make(chan struct{})}
		logger := logrus.New()
		logger.SetOutput(out)
		logger.SetFormatter(raw{})
		entry := G(log.WithLogger(t.Context(), logrus.NewEntry(logger)))
		began := time.Now()
		entry.Debug("of no enabled level")
		assert.Equal(t, time.Since(began), time.Duration(0))
		entry.Info("one")
		assert.Equal(t, time.Since(began), patience+bounded.Grace)
		entry.Warn("two")
		entry.Error("three")
		assert.Equal(t, time.Since(began), patience+bounded.Grace)

		close(out.read)
		synctest.Wait()
		entry.Info("four")
		assert.Equal(t, out.text, "one\nlines lost because the log took none: 2\nfour\n")
	})
}

// TestAPatientLoggerBlocksNoCaller pauses the reader of a patient logger's output, to
// which other packages write as well.
func TestAPatientLoggerBlocksNoCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &paused{read: make(chan struct{})}
		logger := logrus.New()
		logger.SetOutput(out)
		logger.SetFormatter(raw{})
		makePatient(logger)
		makePatient(logger)
		entry := G(log.WithLogger(t.Context(), logrus.NewEntry(logger)))
		began := time.Now()
		logger.Info("one")
		assert.Equal(t, time.Since(began), outPatience+bounded.Grace)
		logger.Warn("two")
		entry.Error("three")
		assert.Equal(t, time.Since(began), outPatience+bounded.Grace)

		close(out.read)
		synctest.Wait()
		logger.Info("four")
		entry.Info("five")
		assert.Equal(t, out.text, "one\nlines lost because the log took none: 2\nfour\nfive\n")
	})
}

// TestAPatientLoggerKeepsColors: a terminal is a character device.
func TestAPatientLoggerKeepsColors(t *testing.T) {
	device, err := os.Open(os.DevNull)
	assert.NilError(t, err)
	defer device.Close()
	for _, tc := range []struct {
		name string
		out  io.Writer
		want bool
	}{
		{"device", device, true},
		{"buffer", &bytes.Buffer{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			logger, formatter := logrus.New(), &logrus.TextFormatter{}
			logger.SetOutput(tc.out)
			logger.SetFormatter(formatter)
			makePatient(logger)
			assert.Equal(t, formatter.ForceColors, tc.want)
		})
	}
}

// TestAPanicOfTheLogStaysInTheLog writes to a log with a hook that panics.
func TestAPanicOfTheLogStaysInTheLog(t *testing.T) {
	entry, written := recording(t)
	entry.entry.Logger.AddHook(panics{})
	entry.Info("one")
	entry.entry.Logger.ReplaceHooks(logrus.LevelHooks{})
	entry.Info("two")
	assert.Equal(t, written.String(), "two")
}

// panics is a hook of a log.
type panics struct{}

func (panics) Levels() []logrus.Level { return logrus.AllLevels }

func (panics) Fire(*logrus.Entry) error { panic("in a hook") }
