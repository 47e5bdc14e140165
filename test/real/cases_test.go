// SPDX-License-Identifier: Apache-2.0

//go:build linux

package real_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
)

// The tests of this file run configs as public plugins have them, in the real
// runtime.

// mountedDir makes a directory that is a shared mount, like every mount of a host
// with systemd. Another file system is mounted at its subdirectory sub.
func mountedDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, target := range []string{dir, filepath.Join(dir, "sub")} {
		assert.NilError(t, os.MkdirAll(target, 0o755))
		assert.NilError(t, unix.Mount("test", target, "tmpfs", 0, ""))
		t.Cleanup(func() { assert.Check(t, unix.Unmount(target, unix.MNT_DETACH)) })
		assert.NilError(t, unix.Mount("", target, "", unix.MS_SHARED, ""))
	}
	return dir
}

// mountsBelow lists the mounts at and below dir.
func mountsBelow(t *testing.T, dir string) []string {
	t.Helper()
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	assert.NilError(t, err)
	var points []string
	for _, info := range infos {
		points = append(points, info.Mountpoint)
	}
	slices.Sort(points)
	return points
}

// TestMountsAtThePropagatedMount binds a directory of the host at a plugin's
// propagated mount, and below it. The plugin and the host see it there. It
// outlives the plugin with all that is mounted in it.
func TestMountsAtThePropagatedMount(t *testing.T) {
	for _, destination := range []string{"/volumes", "/volumes/deep/", "/volumes/propagated-mount"} {
		t.Run(destination, func(t *testing.T) {
			w := newWorld(t).Start()
			data := mountedDir(t)
			before := mountsBelow(t, data)
			id := createProbeAs(w, "p", func(c *types.PluginConfig) {
				c.PropagatedMount = "/volumes"
				mount := bind("/nowhere", destination)
				mount.Name, mount.Settable = "data", []string{"source"}
				c.Mounts = []types.PluginMount{mount}
			}, "tell="+filepath.Join("/", destination, "made"), listenStep, "wait=")
			assert.NilError(t, w.Set(id, []string{"data.source=" + data}))
			relative, err := filepath.Rel("/volumes", filepath.Join("/", destination))
			assert.NilError(t, err)
			for range 2 {
				w.MustEnable(id)
				for _, place := range []string{data, filepath.Join(w.Config.Root, id, "propagated-mount", relative)} {
					_, err := os.Stat(filepath.Join(place, "made"))
					assert.Check(t, err, "in %s", place)
				}
				usage, err := w.DiskUsage(t.Context())
				assert.NilError(t, err)
				assert.Check(t, usage.Plugins[0].Data < 1<<20, "the host's files count as the plugin's")
				assert.NilError(t, w.Disable(id, nil))
			}
			w.MustEnable(id)
			assert.NilError(t, w.Remove(id, &backend.PluginRmConfig{ForceRemove: true}))
			_, err = os.Stat(filepath.Join(data, "made"))
			assert.Check(t, err, "removal deleted the host's files")
			assert.Check(t, is.DeepEqual(mountsBelow(t, data), before), "removal unmounted mounts of the host")
			assert.Check(t, is.Len(mountsBelow(t, w.Config.Root), 0))
			w.Check("after a removal")
		})
	}
}

// TestRootsBehindLinks reaches both directories of a manager through links. The
// paths of the sockets are too long for the kernel.
func TestRootsBehindLinks(t *testing.T) {
	for _, tc := range []struct {
		name string
		at   func(t *testing.T, dir string) string
	}{
		{"a link", func(t *testing.T, dir string) string {
			link := filepath.Join(t.TempDir(), "link")
			assert.NilError(t, os.Symlink(dir, link))
			return link
		}},
		{"below a link", func(t *testing.T, dir string) string {
			link := filepath.Join(t.TempDir(), "link")
			assert.NilError(t, os.Symlink(dir, link))
			return filepath.Join(link, "new/"+strings.Repeat("long", 25))
		}},
		{"a link to a link, and dots", func(t *testing.T, dir string) string {
			links := t.TempDir()
			assert.NilError(t, os.Symlink(dir, filepath.Join(links, "one")))
			assert.NilError(t, os.Symlink("one", filepath.Join(links, "two")))
			return links + "/./two/../" + filepath.Base(dir)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			real := t.TempDir()
			w.Config.Root = tc.at(t, real)
			w.Config.ExecRoot = tc.at(t, w.Config.ExecRoot)
			w.Start()
			id := createProbeAs(w, "p", func(c *types.PluginConfig) { c.PropagatedMount = "/volumes" }, "tell=/volumes/made", listenStep, "wait=")
			for range 2 {
				w.MustEnable(id)
				assert.NilError(t, w.Disable(id, nil))
			}
			usage, err := w.DiskUsage(t.Context())
			assert.NilError(t, err)
			assert.Check(t, usage.Plugins[0].Data > 0)
			w.MustEnable(id)
			w.Restart()
			assert.Check(t, is.Equal(w.MustStatus(id).State, "running"))
			assert.NilError(t, w.Remove(id, &backend.PluginRmConfig{ForceRemove: true}))
			garbage, err := w.Prune(t.Context())
			assert.NilError(t, err)
			assert.Check(t, is.Equal(garbage.Leftovers.Count, 0))
			w.Shutdown()
			assert.Check(t, is.Len(mountsBelow(t, real), 0))
			w.Check("behind links")
		})
	}
}

// publicConfigs returns the odd parts of configs of public plugins, and variants
// of them.
func publicConfigs(t *testing.T) map[string]publicConfig {
	data := t.TempDir()
	mount := func(m types.PluginMount) func(*types.PluginConfig) {
		return func(c *types.PluginConfig) { c.Mounts = append(c.Mounts, m) }
	}
	ofType := func(typ string, source *string, destination string, options ...string) func(*types.PluginConfig) {
		return mount(types.PluginMount{Name: "m", Type: typ, Source: source, Destination: destination, Options: options})
	}
	source, value, mtab := "tmpfs", "x", "/proc/self/mounts"
	return map[string]publicConfig{
		"a capability that Linux does not have": {func(c *types.PluginConfig) { c.Linux.Capabilities = []string{"ALL", "cap_sys_admin"} }, "status=CapEff", "00000000a82425fb"},
		"a type that means nothing":             {ofType("volume", &data, "/x", "rbind"), "try=/x/file", "/file: ok"},
		"the name of a network":                 {func(c *types.PluginConfig) { c.Network.Type = "storage_internal" }, "", ""},
		"options of other programs":             {ofType("bind", &data, "/x", "readonly", "shared", "rbind"), "try=/x/file", "read-only file system"},
		"an option of volumes":                  {ofType("bind", &data, "/x", "rbind", "z", "r", "consistency=cached", "defaults,acl"), "try=/x/file", "/file: ok"},
		"a bind without any option":             {ofType("bind", &data, "/x"), "try=/x/file", "/file: ok"},
		"a socket in a directory":               {func(c *types.PluginConfig) { c.Interface.Socket = "csi/csi.sock" }, "", ""},
		"a socket with a slash before it":       {func(c *types.PluginConfig) { c.Interface.Socket = "/v.sock" }, "", ""},
		"relative places": {func(c *types.PluginConfig) {
			c.PropagatedMount = "mnt/../volumes"
			ofType("bind", &data, "x//y/../", "rbind")(c)
		}, "try=/x/file", "/file: ok"},
		"temporary files without a source": {ofType("tmpfs", nil, "/x"), "try=/x/file", "/file: ok"},
		"temporary files":                  {ofType("tmpfs", &source, "/x", "size=1m,readonly", "defaults"), "try=/x/file", "read-only file system"},
		"a variable whose name has a space": {func(c *types.PluginConfig) {
			c.Env = []types.PluginEnv{{Name: "A B", Value: &value}, {Name: "C=D", Value: &value}}
		}, "", ""},
		"a device that is not set":             {func(c *types.PluginConfig) { c.Linux.Devices = []types.PluginDevice{{Name: "fuse"}} }, "", ""},
		"a source of the host that is a link":  {ofType("bind", &mtab, "/etc/mtab", "rbind"), "", ""},
		"temporary files that begin as a copy": {ofType("tmpfs", &source, "/x", "tmpcopyup"), "try=/x/file", "/file: ok"},
		"a second proc": {func(c *types.PluginConfig) {
			c.Linux.Capabilities = []string{"CAP_SYS_ADMIN"}
			ofType("proc", &source, "/p")(c)
		}, "try=/p/sys/kernel/core_pattern", "read-only file system"},
		"a second sysfs":         {ofType("sysfs", &source, "/s", "rw"), "try=/s/kernel/uevent_helper", "read-only file system"},
		"cgroups, to be written": {ofType("cgroup", &source, "/c", "rw"), "try=/c/memory/cgroup.procs", "read-only file system"},
		"the host's root and devices": {func(c *types.PluginConfig) {
			c.PropagatedMount, c.PidHost, c.Linux.AllowAllDevices = "/mnt/volumes", true, true
			c.Mounts = []types.PluginMount{bind("/dev", "/dev"), bind("/", "/host")}
		}, "try=/mnt/volumes/file", "/file: ok"},
		// Without ratime, rnorelatime and rnostrictatime, which runc 1.1.5 can't set.
		"every option of binds": {func(c *types.PluginConfig) {
			for _, word := range strings.Fields(`async atime bind dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime
				noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private rbind rdev rdiratime relatime rexec rnoatime
				rnodev rnodiratime rnoexec rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid
				rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync unbindable acl noacl defaults idmap ridmap tmpcopyup readonly
				r z Z nocopy copy cached delegated consistent volume-nocopy bind-propagation=rslave uid=0 size=1m X`) {
				c.Mounts = append(c.Mounts, bind(data, "/m/"+word, word))
			}
		}, "try=/m/rw/file", "/file: ok"},
	}
}

type publicConfig struct {
	change     func(*types.PluginConfig)
	look, want string // a step of the probe, and what it prints in part
}

// TestPublicConfigsRun runs all verbs on plugins with public configs, with the
// host's runtime and with a newer runtime, which refuses options that older
// versions ignored.
func TestPublicConfigsRun(t *testing.T) {
	program := probeProgram(t)
	for name, runtime := range map[string]string{"the machine's": "runc", "1.3": buildRunc13(t)} {
		w := newWorldOn(t, runtime).Start()
		for odd, public := range publicConfigs(t) {
			t.Run(name+"/"+odd, func(t *testing.T) {
				w.T = t
				config := plugintest.Config("docker.volumedriver/1.0")
				public.change(&config)
				config.Entrypoint = []string{"/probe", "listen=/run/docker/plugins/" + config.Interface.Socket, "wait="}
				if public.look != "" {
					config.Entrypoint = slices.Insert(config.Entrypoint, 1, public.look)
				}
				source := plugintest.BuildContext(config, map[string]string{"probe": string(program)})
				assert.NilError(t, w.CreateFromContext(t.Context(), source, &types.PluginCreateOptions{RepoName: "p"}))
				for range 2 {
					w.MustEnable("p")
					assert.NilError(t, w.Disable("p", nil))
				}
				if public.want != "" {
					assert.Check(t, is.Contains(strings.Join(w.MustLogs("p", plugin.LogOptions{}), "\n"), public.want))
				}
				w.MustEnable("p")
				assert.NilError(t, w.Remove("p", &backend.PluginRmConfig{ForceRemove: true}))
				assert.Check(t, is.Len(mountsBelow(t, w.Config.Root), 0))
			})
		}
	}
}

func buildRunc13(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/", "tool")
	build.Dir = filepath.Join("..", "..", "tools", "runc13")
	build.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=")
	output, err := build.CombinedOutput()
	assert.NilError(t, err, "%s", output)
	return filepath.Join(bin, "runc")
}

// TestSourcesThatComeAndGo starts plugins before and after the source of a mount
// is set, and before and after it exists.
func TestSourcesThatComeAndGo(t *testing.T) {
	w := newWorld(t).Start()
	data := t.TempDir()
	settable := func(source, destination string) func(*types.PluginConfig) {
		return func(c *types.PluginConfig) {
			mount := bind(source, destination)
			mount.Name, mount.Settable = "data", []string{"source"}
			c.Mounts = []types.PluginMount{mount}
			c.Args = types.PluginConfigArgs{Name: "args", Value: []string{}, Settable: []string{"value"}}
		}
	}
	inSource := func() bool {
		_, err := os.Stat(filepath.Join(data, "made"))
		return err == nil
	}
	id := createProbeAs(w, "empty", settable("", "/data/fsx"), "try=/data/fsx/made", listenStep, "wait=")
	for _, step := range []struct {
		set  string
		want bool
	}{{"", false}, {"data.source=" + data, true}, {"data.source=", false}} {
		if step.set != "" {
			assert.NilError(t, w.Set(id, []string{step.set}))
		}
		w.MustEnable(id)
		assert.Check(t, is.Equal(inSource(), step.want), "after %q", step.set)
		assert.NilError(t, w.Disable(id, nil))
		assert.NilError(t, os.RemoveAll(filepath.Join(data, "made")))
	}

	missing := filepath.Join(data, "missing")
	id = createProbeAs(w, "missing", settable(missing, "/config"), "tell=/config/made", listenStep, "wait=")
	err := w.Enable(id, nil)
	assert.Check(t, is.ErrorContains(err, missing))
	assert.Check(t, is.ErrorContains(err, "the mount at /config"))
	assert.Check(t, !w.Enabled(id))
	assert.NilError(t, os.Mkdir(missing, 0o755))
	w.MustEnable(id)
	_, err = os.Stat(filepath.Join(missing, "made"))
	assert.NilError(t, err)
}

// TestRootIsMountPoint puts the root on a separate file system. Nothing is mounted
// in it after the shutdown.
func TestRootIsMountPoint(t *testing.T) {
	w := newWorld(t)
	root := w.Config.Root
	assert.NilError(t, unix.Mount("test", root, "tmpfs", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(root, unix.MNT_DETACH) })
	assert.NilError(t, unix.Mount("", root, "", unix.MS_SHARED, ""))
	w.Start()
	id := createProbeAs(w, "p", func(c *types.PluginConfig) { c.PropagatedMount = "/volumes" }, listenStep, "wait=")
	volume := filepath.Join(root, id, "propagated-mount", "volume")
	w.MustEnable(id)
	for range 2 {
		assert.NilError(t, os.MkdirAll(volume, 0o755))
		assert.NilError(t, unix.Mount("volume", volume, "tmpfs", 0, ""))
		w.Restart()
	}
	assert.NilError(t, w.Remove(id, &backend.PluginRmConfig{ForceRemove: true}))
	w.Shutdown()
	assert.Check(t, is.DeepEqual(mountsBelow(t, root), []string{root}))
}
