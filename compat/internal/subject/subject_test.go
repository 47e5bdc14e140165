// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/events"
	dockerplugin "github.com/docker/docker/plugin"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest"
)

func TestDescribe(t *testing.T) {
	p := types.Plugin{Name: "dovetail/one:latest", Enabled: true}
	tests := []struct {
		name  string
		event interface{}
		want  string
	}{
		{"docker's", dockerplugin.EventEnable{Plugin: p}, "EventEnable dovetail/one:latest enabled=true"},
		{"ours", plugin.EventEnable{Plugin: p}, "EventEnable dovetail/one:latest enabled=true"},
		{"filter", plugin.EventRemove{}, "EventRemove  enabled=false"},
		{"of no plugin", plugin.EventsDropped{Count: 3}, "EventsDropped"},
		{"no struct", "text", "string"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, Describe(tt.event), tt.want)
		})
	}
}

// Both subjects do what their managers do.
func TestSubjects(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	for name, start := range All() {
		t.Run(name, func(t *testing.T) {
			execRoot, err := os.MkdirTemp("", "dt") // a socket's path must be short
			assert.NilError(t, err)
			executor := &plugintest.Executor{}
			var actions []string
			s, err := start(Config{
				Root:     filepath.Join(t.TempDir(), "plugins"),
				ExecRoot: execRoot,
				Executor: executor,
				Log:      func(_, _ string, action events.Action) { actions = append(actions, string(action)) },
			})
			assert.NilError(t, err)
			t.Cleanup(func() {
				s.Shutdown()
				executor.KillAll()
				assert.Check(t, os.RemoveAll(execRoot))
			})
			seen, cancel := s.Subscribe(10)
			defer cancel()
			buildContext := plugintest.BuildContext(plugintest.Config("docker.volumedriver/1.0"), map[string]string{"plugin": "a program"})
			assert.NilError(t, s.CreateFromContext(t.Context(), buildContext, &types.PluginCreateOptions{RepoName: "dovetail/one"}))
			assert.Equal(t, Describe(<-seen), "EventCreate dovetail/one:latest enabled=false")
			assert.NilError(t, s.Enable("dovetail/one", &backend.PluginEnableConfig{Timeout: 5}))
			assert.Equal(t, Describe(<-seen), "EventEnable dovetail/one:latest enabled=true")
			assert.DeepEqual(t, actions, []string{"create", "enable"})

			p, err := s.Plugin("dovetail/one")
			assert.NilError(t, err)
			assert.DeepEqual(t, s.Store().Names(), map[string]string{p.GetID(): "dovetail/one:latest"})
			found, err := s.Store().Lookup(p.GetID())
			assert.NilError(t, err)
			assert.Equal(t, found.Name(), "dovetail/one:latest")
			assert.Equal(t, executor.Started(p.GetID()), 1)
			_, err = s.Plugin("dovetail/none")
			assert.ErrorContains(t, err, "not found")
			_, err = s.Store().Lookup("dovetail/none")
			assert.ErrorContains(t, err, "not found")
		})
	}
}
