// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/bounded/boundedtest"
	"github.com/dovetailhq/plugin/internal/privilege"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest"
	v2 "github.com/dovetailhq/plugin/v2"
)

// trap has two directories of the host: the plugin "writer" could once write to
// the first, and only operators write to the second. The plugin "victim" was
// granted a path in one of them.
type trap struct {
	*world
	host     string
	registry string
}

func newTrap(t *testing.T) *trap {
	t.Helper()
	testenv.NeedsRoot(t, "making device nodes")
	w, r, registry := newConnectedWorld(t)
	trap := &trap{world: w, host: t.TempDir(), registry: registry}
	for _, name := range []string{"data/x/sub", "ops/v1/sub", "ops/v2/sub", "elsewhere", "secret/sub"} {
		assert.NilError(t, os.MkdirAll(trap.path(name), 0o755))
	}
	assert.NilError(t, os.Symlink("v1", trap.path("ops/x")))
	for _, name := range []string{"data/node", "ops/node"} {
		assert.NilError(t, unix.Mknod(trap.path(name), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	}
	r.PutPlugin("writer", "v1", encoded(t, trap.mounting("data")))
	r.PutPlugin("writer", "v2", encoded(t, trap.mounting("elsewhere")))
	return trap
}

func (trap *trap) path(name string) string { return filepath.Join(trap.host, name) }

func (trap *trap) mounting(name string) types.PluginConfig {
	source := trap.path(name)
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Mounts = []types.PluginMount{{Name: "m", Type: "bind", Source: &source, Destination: "/m", Options: []string{"rbind"}, Settable: []string{"source"}}}
	return config
}

// granting returns a config with a path as the source of a mount, or as a device.
func (trap *trap) granting(setting, name string) types.PluginConfig {
	if setting == "source" {
		return trap.mounting(name)
	}
	path := trap.path(name)
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Linux.Devices = []types.PluginDevice{{Name: "m", Path: &path, Settable: []string{"path"}}}
	return config
}

// install installs the writer, and runs it.
func (trap *trap) install() {
	trap.T.Helper()
	_, err := trap.pull(trap.registry+"/writer:v1", "writer", privilege.Of(trap.mounting("data")))
	assert.NilError(trap.T, err)
	trap.run("writer")
}

// run enables and disables a plugin.
func (trap *trap) run(name string) {
	trap.T.Helper()
	trap.MustEnable(name)
	assert.NilError(trap.T, trap.Disable(name, nil))
}

// replace replaces a file by a link or a device.
func (trap *trap) replace(name string, put func(path string) error) {
	trap.T.Helper()
	assert.NilError(trap.T, os.RemoveAll(trap.path(name)))
	assert.NilError(trap.T, put(trap.path(name)))
}

func linkTo(target string) func(string) error {
	return func(path string) error { return os.Symlink(target, path) }
}

func makeZero(path string) error {
	return unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5)))
}

func makeDirectory(path string) error { return os.MkdirAll(filepath.Join(path, "sub"), 0o755) }

// TestGrantsOutliveTheirWriters redirects a granted path, as the writer can and as
// operators do, while the writer is installed and after it was removed.
func TestGrantsOutliveTheirWriters(t *testing.T) {
	endings := map[string]func(trap *trap) error{
		"still there": func(*trap) error { return nil },
		"removed":     func(trap *trap) error { return trap.Remove("writer", nil) },
		"set anew":    func(trap *trap) error { return trap.Set("writer", []string{"m.source=" + trap.path("elsewhere")}) },
		"upgraded": func(trap *trap) error {
			return trap.upgrade(trap.registry+"/writer:v2", "writer", privilege.Of(trap.mounting("elsewhere")))
		},
	}
	for _, tc := range []struct {
		name    string
		setting string
		path    string
		change  func(trap *trap)
		refused string // the new target of the path
	}{
		{"nothing", "source", "data/x", func(*trap) {}, ""},
		{"a link by the writer", "source", "data/x",
			func(trap *trap) { trap.replace("data/x", linkTo("../secret")) }, "secret through"},
		{"a link by the writer above the source", "source", "data/x/sub",
			func(trap *trap) { trap.replace("data/x", linkTo("../secret")) }, "secret/sub through"},
		{"a link by the writer that can't be followed", "source", "data/x",
			func(trap *trap) { trap.replace("data/x", linkTo("/proc/self/cwd/etc")) }, "a place that can't be determined through"},
		{"another directory by the writer", "source", "data/x/sub",
			func(trap *trap) { trap.replace("data/x", makeDirectory) }, ""},
		{"a device by the writer", "path", "data/node",
			func(trap *trap) { trap.replace("data/node", makeZero) }, "c 1:5 through"},
		{"a link to a device by the writer", "path", "data/node",
			func(trap *trap) { trap.replace("data/node", linkTo("/dev/zero")) }, "c 1:5 through"},
		{"a link by an operator", "source", "ops/x/sub",
			func(trap *trap) { trap.replace("ops/x", linkTo("v2")) }, ""},
		{"a link by an operator in place of a directory", "source", "ops/v1",
			func(trap *trap) { trap.replace("ops/v1", linkTo("v2")) }, ""},
		{"a link by an operator to what the writer has", "source", "ops/x",
			func(trap *trap) { trap.replace("ops/x", linkTo("../data")) }, ""},
		{"a device by an operator", "path", "ops/node",
			func(trap *trap) { trap.replace("ops/node", makeZero) }, ""},
	} {
		for ending, end := range endings {
			t.Run(tc.name+", writer "+ending, func(t *testing.T) {
				trap := newTrap(t)
				trap.install()
				assert.NilError(t, trap.CreateConfig("victim", trap.granting(tc.setting, tc.path)))
				assert.NilError(t, end(trap))
				trap.restart()
				tc.change(trap)
				if tc.refused == "" {
					trap.run("victim")
					return
				}
				trap.checkRefused(tc.path, tc.refused)
				trap.restart()
				trap.checkRefused(tc.path, tc.refused)
				if ending == "still there" && tc.setting == "source" || strings.Contains(tc.refused, "can't be determined") {
					return // no user can grant it again
				}
				assert.NilError(t, trap.Set("victim", []string{"m." + tc.setting + "=" + trap.path(tc.path)}))
				trap.run("victim")
			})
		}
	}
}

// checkRefused checks that the victim's start is refused because its path leads
// elsewhere.
func (trap *trap) checkRefused(path, leads string) {
	trap.T.Helper()
	err := trap.Enable("victim", nil)
	assert.Check(trap.T, errdefs.IsInvalidArgument(err), "%v", err)
	var changed *v2.ChangedGrantError
	assert.Assert(trap.T, errors.As(err, &changed), "%v", err)
	assert.Check(trap.T, is.Equal(changed.Path, trap.path(path)))
	assert.Check(trap.T, is.Equal(changed.Directory, trap.path("data")))
	assert.Check(trap.T, is.Contains(changed.Error(), leads))
}

// TestGrantsOutliveTheirOwnPast moves a plugin's mount to another directory. Before
// that the plugin put a link into the first directory, to redirect its second mount.
func TestGrantsOutliveTheirOwnPast(t *testing.T) {
	trap := newTrap(t)
	config := trap.granting("source", "data/x")
	second := config.Mounts[0]
	source := trap.path("data")
	second.Name, second.Destination, second.Source = "w", "/w", &source
	config.Mounts = append(config.Mounts, second)
	assert.NilError(t, trap.CreateConfig("victim", config))
	trap.run("victim")
	trap.replace("data/x", linkTo("../secret"))
	assert.NilError(t, trap.Set("victim", []string{"w.source=" + trap.path("elsewhere")}))
	trap.checkRefused("data/x", "secret through")
}

// TestGrantsThatDockerGave loads records of docker, which have no pins, and no list
// of exposed directories. Later changes are refused, although the writer never ran
// in this manager.
func TestGrantsThatDockerGave(t *testing.T) {
	for setting, path := range map[string]string{"source": "data/x", "path": "data/node"} {
		trap := newTrap(t)
		trap.install()
		assert.NilError(t, trap.CreateConfig("victim", trap.granting(setting, path)))
		trap.Shutdown()
		for _, name := range []string{"writer", "victim"} {
			trap.forgetPins(name)
		}
		assert.NilError(t, os.Remove(filepath.Join(trap.Config.Root, "exposed.json")))
		trap.start()
		assert.NilError(t, trap.Remove("writer", nil))
		trap.restart()
		trap.replace("data/x", linkTo("../secret"))
		trap.replace("data/node", makeZero)
		trap.checkRefused(path, " through")
	}
}

// forgetPins writes the record of a plugin as docker would.
func (trap *trap) forgetPins(name string) {
	trap.T.Helper()
	path := filepath.Join(trap.Config.Root, trap.ID(name), "config.json")
	data, err := os.ReadFile(path)
	assert.NilError(trap.T, err)
	record := map[string]json.RawMessage{}
	assert.NilError(trap.T, json.Unmarshal(data, &record))
	known := len(record)
	delete(record, "DevicePins")
	delete(record, "SourcePins")
	assert.Assert(trap.T, len(record) < known)
	data, err = json.Marshal(record)
	assert.NilError(trap.T, err)
	assert.NilError(trap.T, os.WriteFile(path, data, 0o600))
}

// TestSilentSourcesArePinnedByTheNextStart grants a source while its file system is
// silent, as docker does. The next start records the target of the source.
func TestSilentSourcesArePinnedByTheNextStart(t *testing.T) {
	trap := newTrap(t)
	trap.install()
	boundedtest.Silence(t, trap.path("data"))
	assert.NilError(t, trap.CreateConfig("victim", trap.granting("source", "data/x")))
	assert.NilError(t, trap.Set("victim", []string{"m.source=" + trap.path("data/x")}))
	progress, err := trap.pull(trap.registry+"/writer:v1", "pulled", privilege.Of(trap.mounting("data")))
	assert.NilError(t, err)
	assert.Check(t, is.Contains(progress, "Warning: "))
	assert.Check(t, is.Contains(progress, trap.path("data")))

	var silent *v2.NoAnswerError
	err = trap.Enable("victim", nil)
	assert.Check(t, errors.As(err, &silent), "%v", err)
	assert.NilError(t, unix.Unmount(trap.path("data"), unix.MNT_DETACH))
	trap.run("victim")
	assert.NilError(t, trap.Remove("writer", nil))
	trap.restart()
	trap.replace("data/x", linkTo("../secret"))
	trap.checkRefused("data/x", "secret through")
}

// TestGrantsBelowSocketsOfOthers grants a directory below another plugin's
// directory of sockets, and replaces it by a link, as that plugin can.
func TestGrantsBelowSocketsOfOthers(t *testing.T) {
	trap := newTrap(t)
	trap.install()
	trap.MustEnable("writer")
	execRoot, err := filepath.EvalSymlinks(trap.Config.ExecRoot)
	assert.NilError(t, err)
	sockets := filepath.Join(execRoot, trap.ID("writer"))
	granted := filepath.Join(sockets, "x")
	assert.NilError(t, os.Mkdir(granted, 0o755))
	config := trap.mounting("")
	config.Mounts[0].Source = &granted
	assert.NilError(t, trap.CreateConfig("victim", config))
	trap.run("victim")
	assert.NilError(t, os.Remove(granted))
	assert.NilError(t, os.Symlink(trap.path("secret"), granted))
	var changed *v2.ChangedGrantError
	err = trap.Enable("victim", nil)
	assert.Assert(t, errors.As(err, &changed), "%v", err)
	assert.Check(t, is.Equal(changed.Directory, sockets))
}

// TestPluginsThatNeverRanAreNoWriters installs a writer, which does not run before
// an operator makes a link in its directory. From its first run on, links there are
// suspect.
func TestPluginsThatNeverRanAreNoWriters(t *testing.T) {
	trap := newTrap(t)
	_, err := trap.pull(trap.registry+"/writer:v1", "writer", privilege.Of(trap.mounting("data")))
	assert.NilError(t, err)
	trap.replace("data/x", linkTo("../secret"))
	assert.NilError(t, trap.CreateConfig("victim", trap.granting("source", "data/x")))
	trap.run("victim")
	trap.restart()
	trap.run("victim")
	trap.run("writer")
	assert.Check(t, is.ErrorContains(trap.Enable("victim", nil), "and may have made that link"))
}

// TestStartsAskNoSourcesOfOthers installs a plugin with sources in many file systems
// that do not answer. The start of another plugin does not look at them.
func TestStartsAskNoSourcesOfOthers(t *testing.T) {
	trap := newTrap(t)
	assert.NilError(t, trap.CreateConfig("victim", trap.granting("source", "ops/x")))
	config := trap.mounting("elsewhere")
	config.Mounts = nil
	var silent []string
	for i := range 8 {
		silent = append(silent, boundedtest.TempDir(t))
		source := filepath.Join(silent[i], "data")
		name := string(rune('a' + i))
		config.Mounts = append(config.Mounts, types.PluginMount{Name: name, Type: "bind", Source: &source, Destination: "/" + name, Options: []string{"rbind"}})
	}
	assert.NilError(t, trap.CreateConfig("writer", config))
	for _, directory := range silent {
		boundedtest.Silence(t, directory)
	}
	trap.run("victim")
	assert.Equal(t, boundedtest.Hanging(t), 0)
}

// TestGrantsWithADamagedList damages the list of directories. A path that a link has
// changed is refused, whoever made it, until an operator removes the damaged file,
// which the manager keeps. Directories of installed plugins are listed anew.
func TestGrantsWithADamagedList(t *testing.T) {
	trap := newTrap(t)
	trap.install()
	assert.NilError(t, trap.CreateConfig("victim", trap.granting("source", "ops/x")))
	trap.Shutdown()
	list := filepath.Join(trap.Config.Root, "exposed.json")
	assert.NilError(t, os.WriteFile(list, []byte("[{"), 0o600))
	trap.start()
	trap.run("victim")
	trap.replace("ops/x", linkTo("v2"))
	for range 2 {
		trap.restart()
		err := trap.Enable("victim", nil)
		var changed *v2.ChangedGrantError
		assert.Assert(t, errors.As(err, &changed), "%v", err)
		assert.Check(t, is.Equal(changed.Damaged, list+".damaged"))
		kept, err := os.ReadFile(list + ".damaged")
		assert.NilError(t, err)
		assert.Equal(t, string(kept), "[{")
	}
	assert.NilError(t, os.Remove(list+".damaged"))
	trap.run("victim")
	listed, err := os.ReadFile(list)
	assert.NilError(t, err)
	assert.Check(t, is.Contains(string(listed), trap.path("data")))
}
