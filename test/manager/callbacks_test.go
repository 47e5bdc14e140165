// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/containerd/log"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/sirupsen/logrus"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
)

// logged collects the log entries of some levels while a test runs.
type logged struct {
	levels []logrus.Level
	mu     sync.Mutex
	lines  []string
}

func (l *logged) Levels() []logrus.Level { return l.levels }

func (l *logged) Fire(entry *logrus.Entry) error {
	line, err := entry.String()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return err
}

func (l *logged) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines
}

func collectLog(t *testing.T, levels ...logrus.Level) *logged {
	t.Helper()
	l := &logged{levels: levels}
	before := log.L.Logger.ReplaceHooks(logrus.LevelHooks{})
	log.L.Logger.AddHook(l)
	t.Cleanup(func() { log.L.Logger.ReplaceHooks(before) })
	return l
}

// TestPanicsEndNoDaemon panics in every callback. The verbs go on, or fail with
// an error, and the log has the stack.
func TestPanicsEndNoDaemon(t *testing.T) {
	w := newWorld(t)
	handled := make(chan struct{}, 10)
	w.Config.LogPluginEvent = func(string, string, events.Action) { panic("in LogPluginEvent") }
	w.Config.Store.Handle("volumedriver", func(string, *plugins.Client) {
		handled <- struct{}{}
		panic("in a handler")
	})
	w.start()
	id := w.Create("p", "docker.volumedriver/1.0")
	w.MustEnable(id)
	<-handled
	lines := collectLog(t, logrus.ErrorLevel)
	assert.NilError(t, w.Executor.Exit(id, 1))
	<-handled
	assert.NilError(t, w.Disable(id, nil))
	assert.Check(t, is.Contains(lines.all()[len(lines.all())-1], "callbacks_test.go"), "the log lacks the stack")

	armed := true
	w.Config.Store.RegisterRuntimeOpt("volumedriver", func(*specs.Spec) {
		if armed {
			panic("in a SpecOpt")
		}
	})
	var start *plugin.StartError
	err := w.Enable(id, nil)
	assert.Assert(t, errors.As(err, &start), "%v", err)
	assert.Check(t, is.ErrorContains(err, "in a SpecOpt"))
	assert.Equal(t, w.MustStatus(id).State, "disabled")
	armed = false
	w.MustEnable(id)
}

// TestOrdinaryLifeIsQuiet runs ordinary verbs until the shutdown. The log has no
// warning.
func TestOrdinaryLifeIsQuiet(t *testing.T) {
	lines := collectLog(t, logrus.WarnLevel, logrus.ErrorLevel)
	w := newWorld(t).start()
	for _, name := range []string{"kept", "off", "gone"} {
		w.MustEnable(w.Create(name, "docker.volumedriver/1.0"))
	}
	w.restart()
	assert.NilError(t, w.Disable("off", nil))
	assert.NilError(t, w.Remove("gone", forced))
	w.Shutdown()
	assert.DeepEqual(t, lines.all(), []string(nil))
}

// TestInterruptedStartIsReported disables a plugin while it is being enabled.
func TestInterruptedStartIsReported(t *testing.T) {
	w := newWorld(t)
	started := make(chan struct{})
	w.Executor.Choose = func(string, int, specs.Spec) plugintest.Behaviour {
		close(started)
		return plugintest.Behaviour{NeverListens: true}
	}
	w.start()
	id := w.Create("p")
	enabled := make(chan error)
	go func() { enabled <- w.Enable(id, nil) }()
	<-started
	assert.NilError(t, w.Disable(id, nil))
	err := <-enabled
	assert.Check(t, is.ErrorContains(err, "interrupted by a disable"))
	var busy *plugin.BusyError
	assert.Check(t, errors.As(err, &busy))
}

// TestSilentPluginIsExplained enables a plugin without a socket.
func TestSilentPluginIsExplained(t *testing.T) {
	w := newWorld(t)
	w.Config.StartTimeout = 2 * time.Second
	w.Executor.Behaviour.NeverListens = true
	w.start()
	id := w.Create("p")
	err := w.Enable(id, nil)
	for _, want := range []string{"/run/docker/plugins/plugin.sock", "2s", "ManagerConfig.StartTimeout"} {
		assert.Check(t, is.ErrorContains(err, want))
	}
}

// TestForcedReferencesAreDropped disables a plugin in use by force. After the
// next Enable a Disable needs no force.
func TestForcedReferencesAreDropped(t *testing.T) {
	w := newWorld(t).start()
	id := w.Create("p", "docker.volumedriver/1.0")
	w.MustEnable(id)
	for range 2 {
		_, err := w.Config.Store.Get("p", "volumedriver", plugingetter.Acquire)
		assert.NilError(t, err)
	}
	assert.NilError(t, w.Disable(id, &backend.PluginDisableConfig{ForceDisable: true}))
	w.MustEnable(id)
	assert.NilError(t, w.Disable(id, nil), "references that a forced Disable ignored still count")
}
