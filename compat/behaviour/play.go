// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/events"
	registryservice "github.com/docker/docker/registry"
	"github.com/moby/sys/mount"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/compat/internal/subject"
	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/registry"
)

// Scenario is a sequence of steps that users take.
type Scenario struct {
	Name string
	Play func(*Run)
}

// Play plays each scenario with a fresh subject and returns the recording.
func Play(t *testing.T, start subject.Start, scenarios []Scenario) Recording {
	recordings := make([]Recording, len(scenarios))
	t.Run("scenarios", func(t *testing.T) {
		for i, scenario := range scenarios {
			recordings[i] = Recording{}
			t.Run(scenario.Name, func(t *testing.T) {
				t.Parallel() // much of the time docker's manager waits
				r := newRun(t, start, scenario.Name, recordings[i])
				defer r.end()
				scenario.Play(r)
			})
		}
	})
	whole := Recording{}
	for _, recording := range recordings {
		maps.Copy(whole, recording)
	}
	return whole
}

// Run is one play of a scenario. Only steps call its embedded subject.
type Run struct {
	subject.Subject
	// Executor runs the plugins. It outlives a restart of the subject.
	Executor *plugintest.Executor
	// Registry serves at Host.
	Registry *registry.Registry
	Host     string
	// Config is the config of the next Start.
	Config subject.Config

	t         *testing.T
	start     subject.Start
	scenario  string
	recording Recording
	words     []string          // and their stand-ins, for strings.NewReplacer
	ids       map[string]string // names of all plugins seen, by ID
	specs     map[string]int    // number of specs noted, by plugin
	events    <-chan interface{}
	cancel    func()

	mu      sync.Mutex
	actions []action
}

// action is an entry of the daemon's log.
type action struct {
	id, name string
	action   events.Action
}

func newRun(t *testing.T, start subject.Start, scenario string, recording Recording) *Run {
	t.Helper()
	execRoot, err := os.MkdirTemp("", "dt") // a socket's path must be short
	assert.NilError(t, err)
	service, err := registryservice.NewService(registryservice.ServiceOptions{})
	assert.NilError(t, err)
	r := &Run{
		Executor:  &plugintest.Executor{},
		Registry:  registry.New(),
		t:         t,
		start:     start,
		scenario:  scenario,
		recording: recording,
		ids:       map[string]string{},
		specs:     map[string]int{},
	}
	r.Host = r.Registry.Start(t)
	r.Config = subject.Config{
		Root:     filepath.Join(t.TempDir(), "plugins"),
		ExecRoot: execRoot,
		Executor: r.Executor,
		Registry: service,
		Log:      r.log,
	}
	r.Hide(execRoot, "EXECROOT")
	r.Hide(r.Config.Root, "ROOT")
	r.Hide(r.Host, "REGISTRY")
	return r
}

func (r *Run) end() {
	_ = r.stopped()
	r.Executor.KillAll()
	assert.Check(r.t, mount.RecursiveUnmount(r.Config.Root)) // live restore leaves mounts
	assert.Check(r.t, os.RemoveAll(r.Config.ExecRoot))
}

func (r *Run) log(id, name string, act events.Action) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.actions = append(r.actions, action{id, name, act})
}

// Start is the step that starts the manager. Every scenario begins with it.
func (r *Run) Start() {
	r.Do("start", r.begin)
}

func (r *Run) begin() error {
	s, err := r.start(r.Config)
	if err != nil {
		return err
	}
	r.Subject = s
	r.events, r.cancel = s.Subscribe(100)
	return nil
}

func (r *Run) stop() {
	r.Shutdown()
	_ = r.Executor.Close() // docker's manager closes it only at the end of the process
	r.cancel()
	r.Subject = nil
}

// stopped ends the manager, if one runs.
func (r *Run) stopped() error {
	if r.Subject != nil {
		r.stop()
	}
	return nil
}

// Stop is the step that ends the manager.
func (r *Run) Stop(step string) {
	r.Do(step, func() error {
		r.stop()
		return nil
	})
}

// Restart is the steps that end the manager and start another.
func (r *Run) Restart(step string) {
	r.Stop(step + ", shutdown")
	r.Do(step, r.begin)
	r.noteSpecs(step)
}

// Do is a step that calls verb and notes its error and effects.
func (r *Run) Do(step string, verb func() error) {
	r.answered(step, recovered(verb))
}

// Begin is a step that continues during later steps, until the returned
// function is called.
func (r *Run) Begin(step string, verb func() error) (wait func()) {
	answer := make(chan error, 1)
	go func() { answer <- recovered(verb) }()
	return func() { r.answered(step, <-answer) }
}

func (r *Run) answered(step string, err error) {
	r.note(step, "class", classOf(err))
	if err != nil {
		r.note(step, "text", err.Error())
	}
	r.learnIDs()
	r.note(step, "events", strings.Join(r.drainEvents(), "\n"))
	r.noteLog(step)
}

// Given is not a step: it calls a verb that later steps need, and notes nothing.
func (r *Run) Given(verb func() error) {
	r.t.Helper()
	assert.NilError(r.t, recovered(verb))
	r.learnIDs()
	r.drainEvents()
	r.drainLog()
}

// recovered turns a panic into an error, so that it is noted.
func recovered(verb func() error) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	return verb()
}

// ID returns the ID of an installed plugin.
func (r *Run) ID(name string) string {
	r.t.Helper()
	for id, have := range r.Store().Names() {
		if have == name {
			return id
		}
	}
	r.t.Fatalf("there is no plugin %s", name)
	return ""
}

func (r *Run) learnIDs() {
	if r.Subject == nil {
		return
	}
	for id, name := range r.Store().Names() {
		r.ids[id] = name
	}
}
