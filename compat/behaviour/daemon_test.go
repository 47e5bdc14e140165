// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"os"
	"path/filepath"

	"github.com/docker/docker/pkg/plugingetter"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest"
)

var daemonScenarios = []Scenario{
	{"restart", func(r *Run) {
		r.installed("dovetail/one:latest", volume)
		r.Restart("restart with a disabled plugin")
		r.inspect("inspect disabled", "dovetail/one")
		r.enable("enable", "dovetail/one")
		r.Restart("restart with an enabled plugin")
		r.inspect("inspect enabled", "dovetail/one")
		r.Stop("shutdown")
		r.tree("shut down")
	}},
	{"live restore", func(r *Run) {
		r.Config.LiveRestore = true
		id := r.installed("dovetail/one:latest", volume)
		r.enable("enable", "dovetail/one")
		r.Restart("restart")
		r.inspect("inspect", "dovetail/one")
		r.See("runs", "count", r.Executor.Started(id))
		r.Stop("shutdown")
		r.runs("after the shutdown", id)
	}},
	{"live restore of a dead plugin", func(r *Run) {
		r.Config.LiveRestore = true
		id := r.installed("dovetail/one:latest", volume)
		r.enable("enable", "dovetail/one")
		r.Stop("shutdown")
		assert.NilError(r.t, r.Executor.Exit(id, 1))
		r.Do("start again", r.begin)
		r.inspect("inspect", "dovetail/one")
		r.See("runs", "count", r.Executor.Started(id))
	}},
	{"restart without live restore of a running plugin", func(r *Run) {
		r.Config.LiveRestore = true
		id := r.installed("dovetail/one:latest", volume)
		r.enable("enable", "dovetail/one")
		r.Stop("shutdown")
		r.Config.LiveRestore = false
		r.Do("start again", r.begin)
		r.inspect("inspect", "dovetail/one")
		r.See("runs", "count", r.Executor.Started(id))
	}},
	{"restart with a plugin that does not start", func(r *Run) {
		r.installed("dovetail/one:latest", volume)
		r.enable("enable", "dovetail/one")
		r.Stop("shutdown")
		r.runsEndAtOnce(plugintest.Ending{Code: 3})
		r.Do("start again", r.begin)
		r.inspect("inspect", "dovetail/one")
		r.get("get", "dovetail/one", "VolumeDriver", plugingetter.Lookup)
		r.See("by capability", "result", namesOf(r.Store().GetAllManagedPluginsByCap("VolumeDriver")))
	}},
	{"restart on a damaged root", func(r *Run) {
		r.installed("dovetail/one:latest", volume)
		r.Given(func() error { return r.build("dovetail/two", plugintest.Config(volume)) })
		damaged := r.ID("dovetail/two:latest")
		r.Stop("shutdown")
		write := func(path, content string) {
			path = filepath.Join(r.Config.Root, path)
			assert.NilError(r.t, os.MkdirAll(filepath.Dir(path), 0o700))
			assert.NilError(r.t, os.WriteFile(path, []byte(content), 0o600))
		}
		write(filepath.Join(damaged, "config.json"), "nonsense")
		write("tmp/left/rootfs/file", "of an install")
		write(damaged[:63]+"x-removing/file", "of a removal")
		write("strange/file", "of another program")
		r.Hide(damaged[:63]+"x", "REMOVED")
		r.Hide(damaged, "DAMAGED")
		r.Do("start again", r.begin)
		r.See("afterwards", "names", r.names())
		r.inspect("inspect the damaged", damaged)
		r.tree("afterwards")
	}},
	{"root of docker 1.12", func(r *Run) {
		write := func(path, content string) {
			path = filepath.Join(r.Config.Root, path)
			assert.NilError(r.t, os.MkdirAll(filepath.Dir(path), 0o700))
			assert.NilError(r.t, os.WriteFile(path, []byte(content), 0o600))
		}
		write("old-id/rootfs/plugin", "a program")
		write("plugins.json", `{"old-id": {"plugin": {"Id": "old-id", "Name": "dovetail/old", "Tag": "latest", "Manifest": {"Entrypoint": ["/plugin"]}}}}`)
		r.Start()
		r.See("afterwards", "names", r.names())
		_, err := r.Inspect("old-id")
		r.See("by the old id", "found", err == nil)
	}},
	{"bad configs", func(r *Run) {
		good := r.Config
		r.Config.Root = ""
		r.Do("no root", r.begin)
		r.Given(r.stopped)
		r.Config = good
		r.Config.ExecRoot = ""
		r.Do("no exec root", r.begin)
		r.Given(r.stopped)
		r.Config = good
		r.Do("good", r.begin)
	}},
	{"after the shutdown", func(r *Run) {
		r.installed("dovetail/one:latest", volume)
		s := r.Subject
		r.Stop("shutdown")
		r.Subject = s
		r.enable("enable", "dovetail/one")
		r.inspect("inspect", "dovetail/one")
		r.create("create", "dovetail/two", plugintest.Config(volume))
		r.remove("remove", "dovetail/one", true)
	}},
}
