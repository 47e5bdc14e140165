// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/docker/docker/api/types"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/privilege"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest"
	v2 "github.com/dovetailhq/plugin/v2"
)

// TestUpgradeReportsTheDifference upgrades with the grants of the old version: the
// error lists what is new and what is gone. So does the event of the upgrade once
// the privileges are granted.
func TestUpgradeReportsTheDifference(t *testing.T) {
	w, r, host := newConnectedWorld(t)
	source, device := "/var/lib/data", "/dev/fuse"
	old := plugintest.Config("docker.volumedriver/1.0")
	old.Mounts = []types.PluginMount{{Source: &source, Destination: "/data", Type: "bind"}}
	current := plugintest.Config("docker.volumedriver/1.0")
	current.Linux.Devices = []types.PluginDevice{{Path: &device}}
	current.Linux.Capabilities = []string{"CAP_SYS_ADMIN", "CAP_CHOWN"}
	r.PutPlugin("group/plugin", "v1", encoded(t, old))
	r.PutPlugin("group/plugin", "v2", encoded(t, current))
	grants := func(version string) types.PluginPrivileges {
		asked, err := w.Privileges(t.Context(), testworld.Named(t, host+"/group/plugin:"+version), nil, nil)
		assert.NilError(t, err)
		return asked
	}
	_, err := w.pull(host+"/group/plugin:v1", "p", grants("v1"))
	assert.NilError(t, err)
	events, cancel := w.SubscribeEvents(1, plugin.EventUpgraded{})
	defer cancel()

	mount := types.PluginPrivilege{Name: "mount", Description: "host path to mount", Value: []string{source}}
	added := types.PluginPrivileges{
		{Name: "device", Description: "host device to access", Value: []string{device}},
		{Name: "capabilities", Description: "list of additional capabilities required", Value: []string{"CAP_SYS_ADMIN", "CAP_CHOWN"}},
	}
	err = w.upgrade(host+"/group/plugin:v2", "p", grants("v1"))
	var refused *plugin.PrivilegesError
	assert.Assert(t, errors.As(err, &refused), "%v", err)
	assert.DeepEqual(t, refused, &plugin.PrivilegesError{
		Missing: added,
		Excess:  types.PluginPrivileges{mount},
		Added:   added,
		Dropped: types.PluginPrivileges{mount},
	})
	assert.Check(t, is.ErrorContains(err, "new in this version: device: [/dev/fuse], capabilities: [CAP_SYS_ADMIN CAP_CHOWN]; gone from this version: mount: [/var/lib/data]"))

	assert.NilError(t, w.upgrade(host+"/group/plugin:v2", "p", grants("v2")))
	upgraded := (<-events).(plugin.EventUpgraded)
	assert.DeepEqual(t, upgraded.Added, added)
	assert.DeepEqual(t, upgraded.Dropped, types.PluginPrivileges{mount})
}

// TestGrantsInAnyOrder passes grants, and values in them, in other orders. They are
// accepted and not modified.
func TestGrantsInAnyOrder(t *testing.T) {
	w, r, host := newConnectedWorld(t)
	config := plugintest.Config("docker.volumedriver/1.0")
	config.PidHost = true
	config.Linux.Capabilities = []string{"CAP_SYS_ADMIN", "CAP_CHOWN"}
	r.PutPlugin("group/plugin", "latest", encoded(t, config))
	granted := types.PluginPrivileges{
		{Name: "capabilities", Value: []string{"CAP_CHOWN", "CAP_SYS_ADMIN"}},
		{Name: "host pid namespace", Value: []string{"true"}},
		{Name: "network", Value: []string{"none"}},
	}
	_, err := w.pull(host+"/group/plugin", "p", granted)
	assert.NilError(t, err)
	assert.DeepEqual(t, granted[0].Value, []string{"CAP_CHOWN", "CAP_SYS_ADMIN"})
	assert.NilError(t, w.upgrade(host+"/group/plugin", "p", granted))
	for i := range granted {
		var refused *plugin.PrivilegesError
		_, err := w.pull(host+"/group/plugin", "q", append(granted[:i:i], granted[i+1:]...))
		assert.Check(t, errors.As(err, &refused), "without %s: %v", granted[i].Name, err)
	}
}

// TestGrantsShowWhatIsMounted compares the text of a grant with the mount that the
// runtime gets. A grant that shows only a source is for a bind or tmpfs, however
// type and options are written.
func TestGrantsShowWhatIsMounted(t *testing.T) {
	source := t.TempDir()
	shown := 0
	for _, typ := range []string{"bind", "rbind", "tmpfs", "none", "volume", "proc", "sysfs", "cgroup", "overlay", "ext4", "tmpfs.x", "Bind", " bind", "mqueue"} {
		for _, options := range [][]string{
			nil, {"bind"}, {"rbind"}, {"ro,rbind"}, {" bind"}, {"bind ,ro"}, {"binds"}, {"BIND"}, {"x=bind"}, {"ro", "", "rbind"}, {"rbind=1"}, {"bind\tro"},
		} {
			config := plugintest.Config("docker.volumedriver/1.0")
			config.Mounts = []types.PluginMount{{Name: "m", Type: typ, Source: &source, Destination: "/x", Options: options}}
			p := &v2.Plugin{Rootfs: filepath.Join(source, "rootfs")}
			p.PluginObj.ID, p.PluginObj.Config = "id", config
			spec, err := p.InitSpec(source)
			assert.NilError(t, err, "%q %q", typ, options)
			at := slices.IndexFunc(spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/x" })
			grants := privilege.Of(config)
			last := grants[len(grants)-1].Value[0]
			isShown := last != source
			if isShown {
				shown++
				assert.Check(t, is.Contains(last, "type "+typ))
			}
			assert.Check(t, isShown || slices.Contains([]string{"bind", "tmpfs"}, spec.Mounts[at].Type), "%q %q is mounted as %s", typ, options, spec.Mounts[at].Type)
		}
	}
	assert.Check(t, shown > 20)
}

// TestDevicesStayWhatWasGranted replaces a device in a directory that the plugin
// can write to, between two runs and across a restart of the daemon.
func TestDevicesStayWhatWasGranted(t *testing.T) {
	testenv.NeedsRoot(t, "making device nodes")
	w := newWorld(t).start()
	dev := t.TempDir()
	node := filepath.Join(dev, "node")
	put := func(minor uint32) {
		t.Helper()
		assert.NilError(t, os.RemoveAll(node))
		assert.NilError(t, unix.Mknod(node, unix.S_IFCHR|0o600, int(unix.Mkdev(1, minor))))
	}
	put(3)
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Mounts = []types.PluginMount{{Name: "dev", Type: "bind", Source: &dev, Destination: "/d", Options: []string{"rbind"}}}
	config.Linux.Devices = []types.PluginDevice{{Name: "device", Path: &node, Settable: []string{"path"}}}
	config.Env = []types.PluginEnv{{Name: "DEBUG", Settable: []string{"value"}}}
	assert.NilError(t, w.CreateConfig("p", config))
	w.MustEnable("p")
	assert.NilError(t, w.Disable("p", nil))
	put(5)
	for range 2 {
		assert.Check(t, is.ErrorContains(w.Enable("p", nil), "when it was granted: a plugin can write to "+dev))
		assert.NilError(t, w.Set("p", []string{"DEBUG=" + node}))
		w.restart()
	}
	assert.NilError(t, w.Set("p", []string{"device.path=" + node}))
	w.MustEnable("p")
	w.Check("after devices were replaced")
}
