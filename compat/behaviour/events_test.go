// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"strings"

	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/events"

	"github.com/dovetailhq/plugin/compat/internal/subject"
	"github.com/dovetailhq/plugin/plugintest"
)

const network = "docker.networkdriver/1.0"

var eventScenarios = []Scenario{
	{"subscribers with filters", func(r *Run) {
		one := r.installed("dovetail/one:latest", volume)
		watch := func(who string, filters ...subject.Filter) (noted func()) {
			seen, cancel := r.Subscribe(100, filters...)
			return func() {
				cancel()
				r.noteAll(who, seen)
			}
		}
		for _, noted := range []func(){
			watch("all creates", subject.Filter{Action: events.ActionCreate}),
			watch("creates of volume drivers", subject.Filter{Action: events.ActionCreate, Interfaces: map[string]bool{"volumedriver": true}}),
			watch("creates of either", subject.Filter{Action: events.ActionCreate, Interfaces: map[string]bool{"volumedriver": true, "networkdriver": true}}),
			watch("creates of neither", subject.Filter{Action: events.ActionCreate, Interfaces: map[string]bool{"authz": true}}),
			watch("creates by the whole type", subject.Filter{Action: events.ActionCreate, Interfaces: map[string]bool{volume: true}}),
			watch("one enabled", subject.Filter{Action: events.ActionEnable, ID: one}),
			watch("any enabled", subject.Filter{Action: events.ActionEnable}),
			watch("one disabled or any removed", subject.Filter{Action: events.ActionDisable, ID: one}, subject.Filter{Action: events.ActionRemove}),
			watch("one removed", subject.Filter{Action: events.ActionRemove, ID: one}),
			watch("everything"),
		} {
			defer noted()
		}
		r.create("create a volume driver", "dovetail/two", plugintest.Config(volume))
		r.create("create a network driver", "dovetail/three", plugintest.Config(network))
		for _, name := range []string{"dovetail/one", "dovetail/two"} {
			r.Do("enable "+name, func() error { return r.Enable(name, &backend.PluginEnableConfig{Timeout: 30}) })
			r.Do("disable "+name, func() error { return r.Disable(name, &backend.PluginDisableConfig{}) })
			r.Do("remove "+name, func() error { return r.Remove(name, &backend.PluginRmConfig{}) })
		}
	}},
	{"slow subscriber", func(r *Run) {
		r.Start()
		seen, cancel := r.Subscribe(1)
		r.create("create one", "dovetail/one", plugintest.Config(volume))
		r.create("create two", "dovetail/two", plugintest.Config(volume))
		r.create("create three", "dovetail/three", plugintest.Config(volume))
		r.See("first", "received", subject.Describe(<-seen))
		r.create("create four", "dovetail/four", plugintest.Config(volume))
		cancel()
		r.noteAll("rest", seen)
	}},
}

// noteAll notes the events that a cancelled subscription still holds.
func (r *Run) noteAll(step string, seen <-chan interface{}) {
	var all []string
	for event := range seen {
		all = append(all, subject.Describe(event))
	}
	r.note(step, "received", strings.Join(all, "\n"))
}
