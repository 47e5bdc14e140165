package plugin_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	v2 "github.com/dovetailhq/plugin/v2"
)

// rewrite changes the record of a plugin behind the back of every manager, as
// if an older one, or docker, had written it.
func (w *world) rewrite(id string, change func(*types.Plugin)) {
	w.t.Helper()
	path := filepath.Join(w.config.Root, id, "config.json")
	data, err := os.ReadFile(path)
	assert.NilError(w.t, err)
	p := new(v2.Plugin)
	assert.NilError(w.t, json.Unmarshal(data, p))
	change(&p.PluginObj)
	p.Config, p.Manifest = "", "" // as in what docker keeps
	data, err = json.Marshal(p)
	assert.NilError(w.t, err)
	assert.NilError(w.t, os.WriteFile(path, data, 0o600))
}

// A record that no verb would write any more is loaded, listed, and can be
// removed; what it describes is not run, and everybody who asks is told why.
func TestUnsoundRecords(t *testing.T) {
	source := "/"
	for name, test := range map[string]struct {
		change func(*types.Plugin)
		says   string
	}{
		"socket that leads out": {func(p *types.Plugin) { p.Config.Interface.Socket = "../other/plugin.sock" }, "interface.socket"},
		"propagated mount":      {func(p *types.Plugin) { p.Config.PropagatedMount = "/data/../.." }, "propagatedMount"},
		"mount that was set": {func(p *types.Plugin) {
			p.Settings.Mounts = []types.PluginMount{{Source: &source, Destination: "/a/../..", Type: "bind"}}
		}, "settings.mounts[0].destination"},
		"variable that was set": {func(p *types.Plugin) { p.Settings.Env = []string{"=x"} }, "settings.env[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).start()
			on, off := w.create("on"), w.create("off")
			w.enable(on)
			w.Shutdown()
			runs := w.executor.Started(on)
			w.rewrite(on, test.change)
			w.rewrite(off, test.change)
			w.start()

			assert.Check(t, w.enabled(on) && !w.enabled(off), "wishes changed")
			assert.Check(t, !w.alive(on))
			assert.Check(t, is.Contains(w.status(on).LastError, test.says))
			assert.NilError(t, w.Disable(on, nil))
			for _, id := range []string{on, off} {
				err := w.Enable(id, nil)
				var start *plugin.StartError
				var invalid v2.ErrInvalidConfig
				assert.Assert(t, errors.As(err, &start) && errors.As(err, &invalid), "%v", err)
				assert.Equal(t, start.Phase, plugin.PhasePrepare)
				assert.Check(t, cerrdefs.IsInvalidArgument(err), "%v", err)
				assert.Check(t, is.ErrorContains(err, test.says))
				assert.Check(t, !w.enabled(id))
			}
			assert.Equal(t, w.executor.Started(on), runs)
			assert.Equal(t, w.executor.Started(off), 0)
			assert.NilError(t, w.Remove(on, nil))
			assert.NilError(t, w.Remove(off, nil))
			w.check("unsound plugins are removed")
		})
	}
}

// A process whose record is not sound any more is not taken over.
func TestUnsoundRecordIsNotTakenOver(t *testing.T) {
	w := newWorld(t)
	w.config.LiveRestoreEnabled = true
	w.start()
	sound, unsound := w.create("sound"), w.create("unsound")
	w.enable(sound)
	w.enable(unsound)
	w.Shutdown()
	w.rewrite(unsound, func(p *types.Plugin) { p.Config.Interface.Socket = "../" + sound + "/plugin.sock" })
	w.start()
	assert.Check(t, w.alive(sound) && w.executor.Started(sound) == 1)
	assert.Check(t, w.enabled(unsound) && !w.alive(unsound))
	assert.Check(t, is.Contains(w.status(unsound).LastError, "interface.socket"))
	p, err := w.Get(unsound)
	assert.NilError(t, err)
	assert.Check(t, p.Addr() == nil && p.Client() == nil, "it can be reached, at another one's socket")
	assert.NilError(t, w.Disable(unsound, nil))
	assert.NilError(t, w.Disable(sound, nil))
	assert.NilError(t, w.Remove(unsound, nil))
	w.check("after a takeover")
}
