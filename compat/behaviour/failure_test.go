// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"errors"

	"github.com/docker/docker/api/types/backend"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest"
)

var failureScenarios = []Scenario{
	{"executor refuses", func(r *Run) {
		r.Executor.Behaviour.CreateError = errors.New("exec: no such file")
		r.installed("dovetail/one:latest", volume)
		r.enable("enable", "dovetail/one")
		r.inspect("inspect", "dovetail/one")
		r.disable("disable", "dovetail/one", false)
		r.remove("remove", "dovetail/one", false)
	}},
	{"no executor", func(r *Run) {
		r.Config.Executor = nil
		r.installed("dovetail/one:latest", volume)
		r.enable("enable", "dovetail/one")
		r.inspect("inspect", "dovetail/one")
		r.remove("remove", "dovetail/one", false)
	}},
	{"plugin ends at once", func(r *Run) {
		r.runsEndAtOnce(plugintest.Ending{Code: 3, Stderr: "cannot open the database\n"})
		r.installed("dovetail/one:latest", volume)
		r.enable("enable", "dovetail/one")
		r.inspect("inspect", "dovetail/one")
	}},
	{"plugin never listens", func(r *Run) {
		r.Executor.Behaviour.NeverListens = true
		id := r.installed("dovetail/one:latest", volume)
		r.enable("enable", "dovetail/one")
		r.inspect("inspect", "dovetail/one")
		r.runs("afterwards", id)
	}},
	{"negative timeout", func(r *Run) {
		r.installed("dovetail/one:latest", volume)
		r.Do("enable", func() error { return r.Enable("dovetail/one", &backend.PluginEnableConfig{Timeout: -1}) })
		r.inspect("inspect", "dovetail/one")
	}},
	{"plugin ignores SIGTERM", func(r *Run) {
		r.Executor.Behaviour.IgnoresSIGTERM = true
		id := r.installed("dovetail/one:latest", volume)
		r.enable("enable", "dovetail/one")
		r.disable("disable", "dovetail/one", false)
		r.runs("afterwards", id)
	}},
	{"plugin ends by itself", func(r *Run) {
		created := r.watchCreate()
		id := r.installed("dovetail/one:latest", volume)
		r.enable("enable", "dovetail/one")
		<-created
		assert.NilError(r.t, r.Executor.Exit(id, 3))
		<-created // it has been restarted
		r.Await("exit", "EventRestarted dovetail/one:latest enabled=true")
		r.noteSpecs("exit")
		r.inspect("inspect", "dovetail/one")
	}},
	{"disable during a start", func(r *Run) {
		r.duringStart(func() { r.disable("disable", "dovetail/one", false) })
	}},
	{"disable by force during a start", func(r *Run) {
		r.duringStart(func() { r.disable("disable", "dovetail/one", true) })
	}},
	{"remove during a start", func(r *Run) {
		r.duringStart(func() { r.remove("remove", "dovetail/one", false) })
	}},
	{"remove by force during a start", func(r *Run) {
		r.duringStart(func() { r.remove("remove", "dovetail/one", true) })
	}},
	{"inspect during a start", func(r *Run) {
		r.duringStart(func() { r.inspect("inspect", "dovetail/one") })
	}},
}

// duringStart calls do while a plugin starts that never gets ready.
func (r *Run) duringStart(do func()) {
	r.Executor.Behaviour.NeverListens = true
	created := r.watchCreate()
	id := r.installed("dovetail/one:latest", volume)
	enabled := r.Begin("enable", func() error { return r.Enable("dovetail/one", &backend.PluginEnableConfig{Timeout: 30}) })
	<-created
	do()
	enabled()
	r.inspect("inspect afterwards", "dovetail/one")
	r.runs("afterwards", id)
}

// watchCreate returns a channel that gets an item for each call of Create.
func (r *Run) watchCreate() <-chan struct{} {
	created := make(chan struct{}, 100)
	behaviour := r.Executor.Behaviour
	r.Executor.Choose = func(string, int, specs.Spec) plugintest.Behaviour {
		created <- struct{}{}
		return behaviour
	}
	return created
}

// runsEndAtOnce makes each run end when it has started. Docker's manager starts the
// next one without a pause, from within the exit report of the last, so the
// executor refuses after the tenth. Whether a run lives at some moment is not noted
// here: both managers start more, and each lives for an instant.
func (r *Run) runsEndAtOnce(ending plugintest.Ending) {
	behaviour := r.Executor.Behaviour
	behaviour.EndsAtOnce = &ending
	refused := behaviour
	refused.CreateError = errors.New("refused after ten runs")
	r.Executor.Choose = func(_ string, attempt int, _ specs.Spec) plugintest.Behaviour {
		if attempt >= 10 {
			return refused
		}
		return behaviour
	}
}

// runs notes whether the process lives.
func (r *Run) runs(step, id string) {
	alive, err := r.Executor.IsRunning(id)
	r.See(step, "class", classOf(err))
	r.See(step, "alive", alive)
}
