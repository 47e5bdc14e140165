package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/filters"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
	v2 "github.com/dovetailhq/plugin/v2"
)

// silence mounts a file system whose server lives and never answers. The
// server's end frees all that hangs in it.
func silence(t *testing.T, dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	server, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, unix.Close(server)) })
	assert.NilError(t, unix.Mount("silent", dir, "fuse.silent", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", server)))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// tempOnHost is a directory that t.TempDir does not delete while it hangs.
func tempOnHost(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "silent")
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, os.RemoveAll(dir)) })
	return dir
}

// returns calls a verb, which must return within its bound. What hangs for ever
// is told from what waits on a machine that has other work.
func returns(t *testing.T, name string, verb func() error) error {
	t.Helper()
	returned := make(chan error, 1)
	go func() { returned <- verb() }()
	bound := time.NewTimer(time.Minute)
	defer bound.Stop()
	select {
	case err := <-returned:
		return err
	case <-bound.C:
		t.Fatalf("%s hangs", name)
		return nil
	}
}

// lookedAt is where a path of the host is looked at.
type lookedAt struct {
	name string
	// leads gives a config a path into the directory, which is below host.
	leads func(c *types.PluginConfig, host, directory string)
}

func bindOf(source, destination string) types.PluginMount {
	return types.PluginMount{Name: "m", Source: &source, Destination: destination, Type: "bind", Options: []string{"rbind"}, Settable: []string{"source"}}
}

func deviceAt(path string) types.PluginDevice {
	return types.PluginDevice{Name: "dev", Path: &path, Settable: []string{"path"}}
}

var placesLookedAt = []lookedAt{
	{name: "device", leads: func(c *types.PluginConfig, _, directory string) {
		c.Linux.Devices = []types.PluginDevice{deviceAt(directory + "/null")}
	}},
	{name: "directory of devices", leads: func(c *types.PluginConfig, host, _ string) {
		c.Linux.Devices = []types.PluginDevice{deviceAt(host)}
	}},
	{name: "device through a link", leads: func(c *types.PluginConfig, host, _ string) {
		c.Linux.Devices = []types.PluginDevice{deviceAt(host + "/link/null")}
	}},
	{name: "source", leads: func(c *types.PluginConfig, _, directory string) {
		c.Mounts = []types.PluginMount{bindOf(directory+"/data", "/data")}
	}},
	{name: "source through a link", leads: func(c *types.PluginConfig, host, _ string) {
		c.Mounts = []types.PluginMount{bindOf(host+"/link/data", "/data")}
	}},
	{name: "working directory", leads: func(c *types.PluginConfig, host, directory string) {
		c.Mounts = []types.PluginMount{bindOf(host, "/data")}
		c.WorkDir = "/data/" + filepath.Base(directory) + "/data"
	}},
	{name: "mount in a mount", leads: func(c *types.PluginConfig, host, directory string) {
		c.Mounts = []types.PluginMount{bindOf(host, "/data"), bindOf("/", "/data/"+filepath.Base(directory)+"/data")}
	}},
}

// TestNoVerbHangsOnASilentFileSystem makes a file system of the host fall silent
// while no manager runs, and calls all verbs on a plugin with a path into it, on
// a plugin of docker's with one, and on one whose only tie to it is that others
// can write there. All verbs return; the first two plugins can't be started, and
// the error names the file system. The third one goes on.
func TestNoVerbHangsOnASilentFileSystem(t *testing.T) {
	for _, place := range placesLookedAt {
		t.Run(place.name, func(t *testing.T) {
			host := tempOnHost(t)
			directory := host + "/fs"
			assert.NilError(t, os.MkdirAll(directory+"/data", 0o755))
			assert.NilError(t, os.Symlink("fs", host+"/link"))
			if err := unix.Mknod(directory+"/null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); err != nil {
				t.Skipf("making device nodes: %v", err)
			}
			w, r, registry := newConnectedWorld(t)
			config := plugintest.Config("docker.volumedriver/1.0")
			place.leads(&config, host, directory)
			r.PutPlugin("group/plugin", "latest", encoded(t, config))
			grants, err := w.Privileges(t.Context(), named(t, registry+"/group/plugin"), nil, nil)
			assert.NilError(t, err)
			for _, name := range []string{"known", "dockers"} {
				_, err := w.pull(registry+"/group/plugin", name, grants)
				assert.NilError(t, err)
				w.enable(name)
			}
			link := tempOnHost(t) + "/link"
			assert.NilError(t, os.Symlink(tempOnHost(t), link))
			sound := plugintest.Config("docker.authz/1.0")
			sound.Mounts = []types.PluginMount{bindOf(link, "/data")}
			sound.Linux.Devices = []types.PluginDevice{deviceAt("/dev/null")}
			assert.NilError(t, w.createConfig("sound", sound))
			w.enable("sound")
			w.forgetPins(w.id("dockers"))

			silence(t, directory)
			w.config.Store = plugin.NewStore()
			assert.NilError(t, returns(t, "boot", func() (err error) { w.Manager, err = plugin.NewManager(w.config); return err }))
			s := &silentVerbs{world: w, t: t, config: config, mountpoint: directory}
			s.look()
			s.upgrade(registry+"/group/plugin", grants)
			s.change("known")
			s.change("dockers")
			s.create()
			assert.NilError(t, returns(t, "disable of what is sound", func() error { return w.Disable("sound", nil) }))
			assert.NilError(t, returns(t, "enable of what is sound", func() error { return w.Enable("sound", nil) }))
			assert.NilError(t, returns(t, "shutdown", func() error { w.Shutdown(); return nil }))
		})
	}
}

// forgetPins makes a record one of docker's, which knows of no grants, between
// two managers.
func (w *world) forgetPins(id string) {
	w.t.Helper()
	w.Shutdown()
	record := regexp.MustCompile(`,"DevicePins":\{[^}]*\}`).ReplaceAllString(w.record(id), "")
	assert.NilError(w.t, os.WriteFile(filepath.Join(w.config.Root, id, "config.json"), []byte(record), 0o600))
}

type silentVerbs struct {
	*world
	t          *testing.T
	config     types.PluginConfig
	mountpoint string
}

// named wants an error that names the file system, or none if none is due.
func (s *silentVerbs) named(verb string, err error, want bool) {
	s.t.Helper()
	if !want {
		assert.Check(s.t, err, verb)
		return
	}
	var silent v2.ErrNoAnswer
	if assert.Check(s.t, errors.As(err, &silent), "%s: %v", verb, err) {
		assert.Check(s.t, is.Equal(silent.Mountpoint, s.mountpoint), "%s: %v", verb, err)
		assert.Check(s.t, is.Equal(silent.FileSystem, "fuse.silent"), "%s: %v", verb, err)
	}
}

func (s *silentVerbs) look() {
	s.t.Helper()
	for name, verb := range map[string]func() error{
		"list":            func() error { _, err := s.List(filters.NewArgs()); return err },
		"inspect":         func() error { _, err := s.Inspect("known"); return err },
		"status":          func() error { _, err := s.Status("dockers"); return err },
		"look-up of kind": func() error { _, err := s.world.config.Store.GetAllByCap("volumedriver"); return err },
		"disk usage":      func() error { _, err := s.DiskUsage(s.t.Context()); return err },
	} {
		assert.Check(s.t, returns(s.t, name, verb), name)
	}
}

// change calls the verbs that change an installed plugin.
func (s *silentVerbs) change(name string) {
	s.t.Helper()
	err := returns(s.t, "disable", func() error { return s.Disable(name, &backend.PluginDisableConfig{ForceDisable: true}) })
	if err != nil && s.enabled(name) {
		s.t.Errorf("disable: %v", err)
	}
	s.named("enable", returns(s.t, "enable", func() error { return s.Enable(name, nil) }), true)
	if s.enabled(name) {
		assert.NilError(s.t, returns(s.t, "disable", func() error { return s.Disable(name, nil) }))
	}
	if len(s.config.Linux.Devices) > 0 {
		s.named("set", returns(s.t, "set", func() error { return s.Set(name, []string{"dev.path=" + s.mountpoint + "/null"}) }), true)
		assert.NilError(s.t, returns(s.t, "set of what is sound", func() error { return s.Set(name, []string{"dev.path=/dev/null"}) }))
	}
	assert.NilError(s.t, returns(s.t, "remove", func() error { return s.Remove(name, forced) }))
}

func (s *silentVerbs) upgrade(ref string, grants types.PluginPrivileges) {
	s.t.Helper()
	_ = returns(s.t, "disable", func() error { return s.Disable("dockers", nil) })
	err := returns(s.t, "upgrade", func() error { return s.world.upgrade(ref, "dockers", grants) })
	s.named("upgrade", err, len(s.config.Linux.Devices) > 0)
}

// create makes a plugin with the same config. A context that ends ends it.
func (s *silentVerbs) create() {
	s.t.Helper()
	err := returns(s.t, "create", func() error { return s.createConfig("late", s.config) })
	s.named("create", err, len(s.config.Linux.Devices) > 0)
	if err == nil {
		s.named("enable", returns(s.t, "enable", func() error { return s.Enable("late", nil) }), true)
		assert.NilError(s.t, returns(s.t, "remove", func() error { return s.Remove("late", forced) }))
	}
}

// TestCreateOfDevicesEndsWithItsContext gives a device in a file system that is
// silent, and that file system itself.
func TestCreateOfDevicesEndsWithItsContext(t *testing.T) {
	for name, below := range map[string]string{"file": "/x", "directory": ""} {
		t.Run(name, func(t *testing.T) {
			silent := tempOnHost(t)
			w := newWorld(t).start()
			silence(t, silent)
			path := silent + below
			before := w.tree()
			config := plugintest.Config()
			config.Linux.Devices = []types.PluginDevice{deviceAt(path)}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			err := returns(t, "create", func() error {
				archive := plugintest.BuildContext(config, map[string]string{"plugin": "a program"})
				return w.CreateFromContext(ctx, archive, &types.PluginCreateOptions{RepoName: "p"})
			})
			var noAnswer v2.ErrNoAnswer
			assert.Check(t, errors.Is(err, context.DeadlineExceeded) || errors.As(err, &noAnswer), "%v", err)
			_, err = w.Inspect("p")
			assert.Check(t, is.ErrorContains(err, "not found"))
			w.GC()
			assert.DeepEqual(t, w.tree(), before)
		})
	}
}

// TestCreateLooksAtNoWholeHost gives the host's root as a device. As with docker
// that is found out at the start, which refuses it.
func TestCreateLooksAtNoWholeHost(t *testing.T) {
	w := newWorld(t).start()
	config := plugintest.Config()
	config.Linux.Devices = []types.PluginDevice{deviceAt("/")}
	assert.NilError(t, returns(t, "create", func() error { return w.createConfig("p", config) }))
	err := returns(t, "enable", func() error { return w.Enable("p", nil) })
	assert.Check(t, is.ErrorContains(err, "give the directory that holds the devices"))
	assert.NilError(t, w.Remove("p", nil))
}
