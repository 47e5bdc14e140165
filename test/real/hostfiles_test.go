// SPDX-License-Identifier: Apache-2.0

//go:build linux

package real_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/filters"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// sentinel is a directory of the host that no plugin may change.
type sentinel string

// newSentinel makes the directory a shared mount, so that mounts propagate to it
// from other namespaces and are noticed.
func newSentinel(t *testing.T) sentinel {
	t.Helper()
	dir := t.TempDir()
	assert.NilError(t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
	t.Cleanup(func() { assert.Check(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	assert.NilError(t, unix.Mount("", dir, "", unix.MS_SHARED, ""))
	for _, name := range []string{"etc", "dev/net", "run/docker/plugins", "proc", "sys/firmware", "data/deep"} {
		assert.NilError(t, os.MkdirAll(filepath.Join(dir, name), 0o750))
	}
	for _, name := range []string{"etc/hosts", "dev/ptmx", "data/precious", "data/deep/file"} {
		assert.NilError(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o640))
	}
	assert.NilError(t, os.Symlink("data", filepath.Join(dir, "link")))
	return sentinel(dir)
}

// snapshot describes everything in the tree that a change would affect.
func (s sentinel) snapshot(t *testing.T) []string {
	t.Helper()
	var seen []string
	assert.NilError(t, filepath.WalkDir(string(s), func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var is unix.Stat_t
		if err := unix.Lstat(name, &is); err != nil {
			return err
		}
		seen = append(seen, fmt.Sprintf("%s mode=%o owner=%d:%d links=%d size=%d modified=%d changed=%d",
			strings.TrimPrefix(name, string(s)), is.Mode, is.Uid, is.Gid, is.Nlink, is.Size, is.Mtim.Nano(), is.Ctim.Nano()))
		return nil
	}))
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(string(s)))
	assert.NilError(t, err)
	for _, mount := range mounts {
		seen = append(seen, "mounted "+strings.TrimPrefix(mount.Mountpoint, string(s)))
	}
	return seen
}

// hostile is a plugin that tries to make the manager or the runtime change files
// of the host.
type hostile struct {
	name string
	// refused is in the error of Enable; empty if there is none. A text that begins
	// with "runc:" is runc's, and the fake executor starts the plugin.
	refused string
	links   map[string]string // in the rootfs; targets that begin with // are below the sentinel
	change  func(c *types.PluginConfig, s sentinel)
}

func bind(source, destination string, options ...string) types.PluginMount {
	return types.PluginMount{Name: destination, Type: "bind", Source: &source, Destination: destination, Options: append(options, "rbind", "rw")}
}

func tmpfs(destination string) types.PluginMount {
	source := "tmpfs"
	return types.PluginMount{Name: destination, Type: "tmpfs", Source: &source, Destination: destination}
}

func hostiles() []hostile {
	nothing := func(*types.PluginConfig, sentinel) {}
	return []hostile{
		{"links at every default mount", "/dev in its rootfs is a link", map[string]string{
			"etc": "//etc", "dev": "//dev", "run": "//run", "proc": "//proc", "sys": "//sys",
		}, func(c *types.PluginConfig, _ sentinel) { c.Network.Type = "host" }},
		{"relative links at them", "/dev in its rootfs is a link", map[string]string{
			"etc": "../../../../../../..//etc", "dev": "../../../../../../..//dev", "run": "../../../../../../..//run",
		}, nothing},
		{"links below them", "", map[string]string{
			"etc/hosts": "//etc/hosts", "etc/resolv.conf": "//etc/new", "run/docker": "//run", "dev/ptmx": "//dev/ptmx",
		}, func(c *types.PluginConfig, _ sentinel) { c.Network.Type = "host" }},
		{"a propagated mount at a link", "", map[string]string{"data": "//data"},
			func(c *types.PluginConfig, _ sentinel) { c.PropagatedMount = "/data" }},
		{"a propagated mount below a link", "", map[string]string{"data": "//data"},
			func(c *types.PluginConfig, _ sentinel) { c.PropagatedMount = "/data/new" }},
		{"a propagated mount in the host's files", "", nil, func(c *types.PluginConfig, s sentinel) {
			c.Mounts = []types.PluginMount{bind(string(s), "/host")}
			c.PropagatedMount = "/host/new"
		}},
		{"a propagated mount over the host's files", "", nil, func(c *types.PluginConfig, s sentinel) {
			c.Mounts = []types.PluginMount{bind(string(s), "/host", "rshared")}
			c.PropagatedMount = "/host/data"
		}},
		{"a mount in the host's files", "which the host does not have", nil, func(c *types.PluginConfig, s sentinel) {
			c.Mounts = []types.PluginMount{bind(string(s), "/host"), tmpfs("/host/new")}
		}},
		{"a mount over the host's files", "mount it elsewhere, or remove the propagated mount", nil, func(c *types.PluginConfig, s sentinel) {
			c.Mounts = []types.PluginMount{bind(string(s), "/host"), tmpfs("/host/data")}
			c.PropagatedMount = "/mnt"
		}},
		{"a mount over the host's files that are shared", "", nil, func(c *types.PluginConfig, s sentinel) {
			c.Mounts = []types.PluginMount{bind(string(s), "/host", "rshared"), tmpfs("/host/data")}
		}},
		{"a mount in the host's files by a link", "which the host does not have", map[string]string{"alias": "/host/data"}, func(c *types.PluginConfig, s sentinel) {
			c.Mounts = []types.PluginMount{bind(string(s), "/host"), tmpfs("/alias/new")}
		}},
		{"a mount that masks the host's files", "", nil, func(c *types.PluginConfig, s sentinel) {
			c.Mounts = []types.PluginMount{bind(filepath.Join(string(s), "sys"), "/sys")}
			c.PropagatedMount = "/mnt"
		}},
		{"a mount in the host's files by a magic link", "resolves through magic links of the kernel", nil, func(c *types.PluginConfig, s sentinel) {
			c.Mounts = []types.PluginMount{bind(string(s), "/host"), tmpfs("/proc/self/root/host/new")}
		}},
		{"the host's /run", "", nil, func(c *types.PluginConfig, s sentinel) {
			c.Mounts = []types.PluginMount{bind(filepath.Join(string(s), "run"), "/run")}
		}},
		{"the host's /etc", "", nil, func(c *types.PluginConfig, s sentinel) {
			c.Mounts = []types.PluginMount{bind(filepath.Join(string(s), "etc"), "/etc")}
			c.Network.Type = "host"
		}},
		{"the host's /dev", "runc: unable to start container process", nil, func(c *types.PluginConfig, s sentinel) {
			c.Mounts = []types.PluginMount{bind(filepath.Join(string(s), "dev"), "/dev")}
			c.Linux.AllowAllDevices = true
		}},
		{"the host's /dev by a link", "covers /dev through a link", map[string]string{"d": "/dev"}, func(c *types.PluginConfig, s sentinel) {
			c.Mounts = []types.PluginMount{bind(filepath.Join(string(s), "dev"), "/d")}
		}},
		{"a device in the host's files", "which the host does not have", nil, func(c *types.PluginConfig, s sentinel) {
			device := "/dev/net/tun"
			c.Mounts = []types.PluginMount{bind(filepath.Join(string(s), "dev/net"), "/dev/net")}
			c.Linux.Devices = []types.PluginDevice{{Name: "tun", Path: &device}}
		}},
		{"a working directory in the host's files", "which the host does not have", nil, func(c *types.PluginConfig, s sentinel) {
			c.Mounts = []types.PluginMount{bind(string(s), "/host")}
			c.WorkDir = "/host/new"
		}},
		{"a working directory in the host's files by the host's link", "which the host does not have", nil, func(c *types.PluginConfig, s sentinel) {
			c.Mounts = []types.PluginMount{bind(filepath.Join(string(s), "link"), "/host")}
			c.WorkDir = "/host/new"
		}},
		{"sockets in the host's files by the host's link", "mount it elsewhere, or remove the propagated mount", nil, func(c *types.PluginConfig, s sentinel) {
			c.Mounts = []types.PluginMount{bind(filepath.Join(string(s), "link"), "/run")}
			c.PropagatedMount = "/mnt"
		}},
		{"a working directory at a link", "runc: unable to start container process", map[string]string{"work": "//data/new"},
			func(c *types.PluginConfig, _ sentinel) { c.WorkDir = "/work" }},
		{"a working directory of the runtime", "resolves through magic links of the kernel", nil,
			func(c *types.PluginConfig, _ sentinel) { c.WorkDir = "/proc/self/fd/7" }},
		{"a socket elsewhere", "leads out of the directory for sockets", nil,
			func(c *types.PluginConfig, _ sentinel) { c.Interface.Socket = "../plugin.sock" }},
		{"another user", "", map[string]string{"run/docker": "//run"},
			func(c *types.PluginConfig, _ sentinel) { c.User = types.PluginConfigUser{UID: 1000, GID: 1000} }},
	}
}

// checkOutcome checks that a verb fails if the plugin is refused, and only then.
func (h hostile) checkOutcome(t *testing.T, onRunc bool, after string, err error) {
	t.Helper()
	refused := h.refused != "" && (onRunc || !strings.HasPrefix(h.refused, "runc:"))
	switch {
	case refused && after == "enable":
		assert.Check(t, is.ErrorContains(err, h.refused))
	case refused && after == "disable":
		assert.Check(t, is.ErrorContains(err, "already disabled"))
	default:
		assert.Check(t, err, "%s", after)
	}
}

// archive returns a build context of the hostile plugin.
func (h hostile) archive(t *testing.T, program []byte, level string, s sentinel) io.ReadCloser {
	t.Helper()
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Entrypoint = []string{"/probe", listenStep, "wait="}
	config.Env = []types.PluginEnv{{Name: "LEVEL", Value: &level, Settable: []string{"value"}}}
	h.change(&config, s)
	encoded, err := json.Marshal(config)
	assert.NilError(t, err)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	add := func(header tar.Header, content []byte) {
		header.Size = int64(len(content))
		assert.NilError(t, w.WriteHeader(&header))
		_, err := w.Write(content)
		assert.NilError(t, err)
	}
	add(tar.Header{Name: "config.json", Typeflag: tar.TypeReg, Mode: 0o644}, encoded)
	add(tar.Header{Name: "rootfs/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	add(tar.Header{Name: "rootfs/probe", Typeflag: tar.TypeReg, Mode: 0o755}, program)
	for _, name := range []string{"etc/hosts", "etc/resolv.conf", "dev/console", "run/docker/plugins/old"} {
		if h.links[name] == "" && h.links[strings.Split(name, "/")[0]] == "" && h.links[path.Dir(path.Dir(name))] == "" {
			add(tar.Header{Name: "rootfs/" + name, Typeflag: tar.TypeReg, Mode: 0o600}, []byte("the image's"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.links)) {
		target := strings.Replace(h.links[name], "//", string(s)+"/", 1)
		add(tar.Header{Name: "rootfs/" + name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}, nil)
	}
	assert.NilError(t, w.Close())
	return io.NopCloser(&archive)
}

// everyVerb runs all verbs on a plugin, and calls look with the result of each.
func everyVerb(w *testworld.World, h hostile, program []byte, host string, s sentinel, look func(after string, err error)) {
	t, ctx := w.T.(*testing.T), context.Background()
	try := func(what string, err error) {
		t.Helper()
		look(what, err)
	}
	one, two := host+"/group/plugin:v1", host+"/group/plugin:v2"
	for _, ref := range []string{one, two} {
		try("create", w.CreateFromContext(ctx, h.archive(t, program, ref, s), &types.PluginCreateOptions{RepoName: ref}))
		try("push", w.Push(ctx, ref, nil, nil, nil))
		try("remove", w.Remove(ref, nil))
	}
	grants, err := w.Privileges(ctx, testworld.Named(t, one), nil, nil)
	try("privileges", err)
	try("pull", w.Pull(ctx, testworld.Named(t, one), "mine", nil, nil, grants, nil))
	enable := func() { try("enable", w.Enable("mine", &backend.PluginEnableConfig{Timeout: 1})) }
	disable := func() { try("disable", w.Disable("mine", &backend.PluginDisableConfig{ForceDisable: true})) }
	enable()
	_, err = w.Status("mine")
	try("status", err)
	_, err = w.Logs(ctx, "mine", plugin.LogOptions{})
	try("logs", err)
	if p, err := w.Get("mine"); err == nil {
		_, _ = os.Stat(p.ScopedPath("/host/data")) // most plugins have none
		try("scoped path", nil)
	}
	w.Config.LiveRestoreEnabled = !w.Config.LiveRestoreEnabled
	w.Restart()
	look("restart", nil)
	disable()
	try("set", w.Set("mine", []string{"LEVEL=3"}))
	enable()
	disable()
	try("upgrade", w.Upgrade(ctx, testworld.Named(t, two), "mine", nil, nil, grants, nil))
	enable()
	_, err = w.List(filters.NewArgs())
	try("list", err)
	_, err = w.DiskUsage(ctx)
	try("disk usage", err)
	disable()
	w.CheckBut(plugintest.RootCheck{}, "the runtime replaced what the image has")
	enable()
	try("remove", w.Remove("mine", &backend.PluginRmConfig{ForceRemove: true}))
	_, err = w.Prune(ctx)
	try("prune", err)
	w.GC()
	w.Shutdown()
	look("shutdown", nil)
}

// TestOrdinaryPluginPassesEveryVerb is the control of TestHostFilesAreLeftAlone: no
// verb refuses an ordinary plugin. Refusals there are caused by what the plugin
// does.
func TestOrdinaryPluginPassesEveryVerb(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	eachExecutor(t, probeProgram(t), func(t *testing.T, w *testworld.World, program []byte) {
		registry := fake.New()
		host := registry.Start(t)
		w.Config.RegistryService = testworld.PlainHTTP{}
		w.Start()
		ordinary := hostile{name: "ordinary", change: func(*types.PluginConfig, sentinel) {}}
		everyVerb(w, ordinary, program, host, newSentinel(t), func(after string, err error) {
			t.Helper()
			assert.Check(t, err, "%s", after)
		})
	})
}

// TestHostFilesAreLeftAlone runs every verb on hostile plugins, with the fake
// executor and with runc. The sentinel must not change.
func TestHostFilesAreLeftAlone(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	program := probeProgram(t)
	for _, h := range hostiles() {
		t.Run(h.name, func(t *testing.T) {
			eachExecutor(t, program, func(t *testing.T, w *testworld.World, program []byte) {
				s := newSentinel(t)
				registry := fake.New()
				host := registry.Start(t)
				w.Config.RegistryService = testworld.PlainHTTP{}
				w.Start()
				before := s.snapshot(t)
				everyVerb(w, h, program, host, s, func(after string, err error) {
					t.Helper()
					h.checkOutcome(t, program != nil, after, err)
					assert.Check(t, is.DeepEqual(s.snapshot(t), before), "after %s", after)
				})
			})
		})
	}
}

// eachExecutor runs a test with the fake executor, and with runc and a program.
func eachExecutor(t *testing.T, program []byte, test func(t *testing.T, w *testworld.World, program []byte)) {
	t.Run("fake", func(t *testing.T) { test(t, testworld.New(t), nil) })
	t.Run("runc", func(t *testing.T) { test(t, newWorld(t), program) })
}
