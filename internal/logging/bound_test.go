// SPDX-License-Identifier: Apache-2.0

package logging

import (
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

// TestAPanicOfTheLogIsNoPanicOfItsCaller writes to a log with a hook that panics.
func TestAPanicOfTheLogIsNoPanicOfItsCaller(t *testing.T) {
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
