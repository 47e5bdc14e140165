// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"context"
	"errors"
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
	"github.com/dovetailhq/plugin/internal/bounded/boundedtest"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest"
	v2 "github.com/dovetailhq/plugin/v2"
)

// returns calls a verb, which must return. The bound is long enough for a loaded
// machine; only a verb that hangs exceeds it.
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

// lookedAt is a place in a config with a path of the host.
type lookedAt struct {
	name string
	// leads puts a path into directory, which is below host, into a config.
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

// TestNoVerbHangsOnASilentFileSystem silences a file system of the host while no
// manager runs. Then it calls all verbs on three plugins: a plugin with a path in
// that file system, the same plugin with a record of docker, and a plugin that is
// affected only because others can write there. All verbs return. The first two
// plugins can't be started, and the error names the file system. The third runs.
func TestNoVerbHangsOnASilentFileSystem(t *testing.T) {
	for _, place := range placesLookedAt {
		t.Run(place.name, func(t *testing.T) {
			host := boundedtest.TempDir(t)
			directory := host + "/fs"
			assert.NilError(t, os.MkdirAll(directory+"/data", 0o755))
			assert.NilError(t, os.Symlink("fs", host+"/link"))
			if err := unix.Mknod(directory+"/null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); err != nil {
				testenv.Skip(t, "device nodes can't be made")
			}
			w, r, registry := newConnectedWorld(t)
			config := plugintest.Config("docker.volumedriver/1.0")
			place.leads(&config, host, directory)
			r.PutPlugin("group/plugin", "latest", encoded(t, config))
			grants, err := w.Privileges(t.Context(), testworld.Named(t, registry+"/group/plugin"), nil, nil)
			assert.NilError(t, err)
			for _, name := range []string{"known", "dockers"} {
				_, err := w.pull(registry+"/group/plugin", name, grants)
				assert.NilError(t, err)
				w.MustEnable(name)
			}
			link := boundedtest.TempDir(t) + "/link"
			assert.NilError(t, os.Symlink(boundedtest.TempDir(t), link))
			sound := plugintest.Config("docker.authz/1.0")
			sound.Mounts = []types.PluginMount{bindOf(link, "/data")}
			sound.Linux.Devices = []types.PluginDevice{deviceAt("/dev/null")}
			assert.NilError(t, w.CreateConfig("sound", sound))
			w.MustEnable("sound")
			w.forgetPins(w.ID("dockers"))

			boundedtest.Silence(t, directory)
			w.Config.Store = plugin.NewStore()
			assert.NilError(t, returns(t, "boot", func() (err error) { w.Manager, err = plugin.NewManager(w.Config); return err }))
			s := &silentVerbs{world: w, t: t, config: config, mountpoint: directory}
			s.look()
			s.upgrade(registry+"/group/plugin", grants)
			s.change("known")
			s.change("dockers")
			s.create()
			assert.NilError(t, returns(t, "disable of the sound plugin", func() error { return w.Disable("sound", nil) }))
			assert.NilError(t, returns(t, "enable of the sound plugin", func() error { return w.Enable("sound", nil) }))
			assert.NilError(t, returns(t, "shutdown", func() error { w.Shutdown(); return nil }))
		})
	}
}

// forgetPins removes the grants from a record, which docker's records lack,
// between two managers.
func (w *world) forgetPins(id string) {
	w.T.Helper()
	w.Shutdown()
	record := regexp.MustCompile(`,"DevicePins":\{[^}]*\}`).ReplaceAllString(w.record(id), "")
	assert.NilError(w.T, os.WriteFile(filepath.Join(w.Config.Root, id, "config.json"), []byte(record), 0o600))
}

type silentVerbs struct {
	*world
	t          *testing.T
	config     types.PluginConfig
	mountpoint string
}

// named checks that err names the file system if want is true, and is nil
// otherwise.
func (s *silentVerbs) named(verb string, err error, want bool) {
	s.t.Helper()
	if !want {
		assert.Check(s.t, err, verb)
		return
	}
	var silent *v2.NoAnswerError
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
		"look-up of kind": func() error { _, err := s.world.Config.Store.GetAllByCap("volumedriver"); return err },
		"disk usage":      func() error { _, err := s.DiskUsage(s.t.Context()); return err },
	} {
		assert.Check(s.t, returns(s.t, name, verb), name)
	}
}

// change calls the verbs that change an installed plugin.
func (s *silentVerbs) change(name string) {
	s.t.Helper()
	err := returns(s.t, "disable", func() error { return s.Disable(name, &backend.PluginDisableConfig{ForceDisable: true}) })
	if err != nil && s.Enabled(name) {
		s.t.Errorf("disable: %v", err)
	}
	s.named("enable", returns(s.t, "enable", func() error { return s.Enable(name, nil) }), true)
	if s.Enabled(name) {
		assert.NilError(s.t, returns(s.t, "disable", func() error { return s.Disable(name, nil) }))
	}
	if len(s.config.Linux.Devices) > 0 {
		s.named("set", returns(s.t, "set", func() error { return s.Set(name, []string{"dev.path=" + s.mountpoint + "/null"}) }), true)
		assert.NilError(s.t, returns(s.t, "set of the sound plugin", func() error { return s.Set(name, []string{"dev.path=/dev/null"}) }))
	}
	assert.NilError(s.t, returns(s.t, "remove", func() error { return s.Remove(name, forced) }))
}

func (s *silentVerbs) upgrade(ref string, grants types.PluginPrivileges) {
	s.t.Helper()
	_ = returns(s.t, "disable", func() error { return s.Disable("dockers", nil) })
	err := returns(s.t, "upgrade", func() error { return s.world.upgrade(ref, "dockers", grants) })
	s.named("upgrade", err, len(s.config.Linux.Devices) > 0)
}

// create creates a plugin with the same config.
func (s *silentVerbs) create() {
	s.t.Helper()
	err := returns(s.t, "create", func() error { return s.CreateConfig("late", s.config) })
	s.named("create", err, len(s.config.Linux.Devices) > 0)
	if err == nil {
		s.named("enable", returns(s.t, "enable", func() error { return s.Enable("late", nil) }), true)
		assert.NilError(s.t, returns(s.t, "remove", func() error { return s.Remove("late", forced) }))
	}
}

// TestCreateOfDevicesEndsWithItsContext creates plugins with a device in a silent
// file system, and with that file system as the device.
func TestCreateOfDevicesEndsWithItsContext(t *testing.T) {
	for name, below := range map[string]string{"file": "/x", "directory": ""} {
		t.Run(name, func(t *testing.T) {
			silent := boundedtest.TempDir(t)
			w := newWorld(t).start()
			boundedtest.Silence(t, silent)
			path := silent + below
			before := w.Tree()
			config := plugintest.Config()
			config.Linux.Devices = []types.PluginDevice{deviceAt(path)}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			err := returns(t, "create", func() error {
				archive := plugintest.BuildContext(config, map[string]string{"plugin": "a program"})
				return w.CreateFromContext(ctx, archive, &types.PluginCreateOptions{RepoName: "p"})
			})
			var noAnswer *v2.NoAnswerError
			assert.Check(t, errors.Is(err, context.DeadlineExceeded) || errors.As(err, &noAnswer), "%v", err)
			_, err = w.Inspect("p")
			assert.Check(t, is.ErrorContains(err, "not found"))
			w.GC()
			assert.DeepEqual(t, w.Tree(), before)
		})
	}
}

// TestCreateLooksAtNoWholeHost creates a plugin with the host's root as a device.
// As in docker, only the start refuses it.
func TestCreateLooksAtNoWholeHost(t *testing.T) {
	w := newWorld(t).start()
	config := plugintest.Config()
	config.Linux.Devices = []types.PluginDevice{deviceAt("/")}
	assert.NilError(t, returns(t, "create", func() error { return w.CreateConfig("p", config) }))
	err := returns(t, "enable", func() error { return w.Enable("p", nil) })
	assert.Check(t, is.ErrorContains(err, "name the directory that holds the devices"))
	assert.NilError(t, w.Remove("p", nil))
}
