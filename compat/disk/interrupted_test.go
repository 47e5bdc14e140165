// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/backend"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/compat/internal/subject"
)

// interrupted is a plugin that docker pulled as v1 and upgraded to v2. The cases
// restore the states in between.
type interrupted struct {
	*shelf
	dir    string
	old    string // a copy of the rootfs of v1
	v1, v2 []byte // the records
}

// The steps of upgradePlugin in docker's manager_linux.go: the old rootfs becomes
// rootfs-old, the new one comes into its place, the record is saved, rootfs-old is
// deleted. A step that fails is undone: the new rootfs is deleted, the old one goes
// back.
var interruptions = []struct {
	name string
	make func(u *interrupted)
	want string // the version
	// unknown reports that the version can't be determined without the layers.
	unknown bool
}{
	{"old rootfs moved", func(u *interrupted) {
		u.place(u.v1)
		u.moveOld()
		u.remove("rootfs")
	}, "v1", false},
	{"new rootfs moved", func(u *interrupted) {
		u.place(u.v1)
		u.moveBoth()
	}, "v1", true},
	{"record written", func(u *interrupted) {
		u.place(u.v1)
		u.moveBoth()
		assert.NilError(u.t, os.WriteFile(filepath.Join(u.dir, ".tmp-config.json123"), u.v2[:len(u.v2)/2], 0o600))
	}, "v1", true},
	{"record saved", func(u *interrupted) {
		u.moveBoth()
		u.place(u.v2)
	}, "v2", false},
	{"old rootfs deleted in part", func(u *interrupted) {
		u.moveBoth()
		u.place(u.v2)
		u.remove("rootfs-old", "version")
	}, "v2", false},
	{"new rootfs deleted in part", func(u *interrupted) {
		u.place(u.v1)
		u.moveBoth()
		u.remove("rootfs", "version")
	}, "v1", true},
	{"old rootfs went back", func(u *interrupted) {
		u.place(u.v1)
		u.remove("rootfs")
		assert.NilError(u.t, os.CopyFS(filepath.Join(u.dir, "rootfs"), os.DirFS(u.old)))
	}, "v1", false},
}

// TestUpgradeThatDockerDidNotComplete opens what each step of docker's upgrade leaves,
// with the layers and without.
func TestUpgradeThatDockerDidNotComplete(t *testing.T) {
	for _, at := range interruptions {
		for name, collect := range map[string]bool{"layers kept": false, "layers collected": true} {
			t.Run(at.name+", "+name, func(t *testing.T) {
				u := upgradeByDocker(t, collect)
				at.make(u)
				if collect && at.unknown {
					u.assertReported()
					return
				}
				u.assertIs(at.want)
			})
		}
	}
}

func upgradeByDocker(t *testing.T, collect bool) *interrupted {
	t.Helper()
	u := &interrupted{shelf: newShelf(t, "v1", "v2"), old: t.TempDir()}
	u.under(subject.Docker, func(s subject.Subject) {
		u.pull(s, "v1")
		p, err := s.Inspect(u.name + ":v1")
		assert.NilError(t, err)
		u.dir = filepath.Join(u.config.Root, p.ID)
		u.v1 = u.record()
		assert.NilError(t, os.CopyFS(u.old, os.DirFS(filepath.Join(u.dir, "rootfs"))))
		assert.NilError(t, s.Upgrade(t.Context(), u.ref("v2"), u.name+":v1", nil, nil, u.grants, io.Discard))
		u.v2 = u.record()
		if collect {
			s.GC()
		}
	})
	assert.Check(t, string(u.v1) != string(u.v2))
	return u
}

func (u *interrupted) record() []byte {
	u.t.Helper()
	data, err := os.ReadFile(filepath.Join(u.dir, "config.json"))
	assert.NilError(u.t, err)
	return data
}

func (u *interrupted) place(record []byte) {
	u.t.Helper()
	temporary := filepath.Join(u.dir, "config.json.new")
	assert.NilError(u.t, os.WriteFile(temporary, record, 0o600))
	assert.NilError(u.t, os.Rename(temporary, filepath.Join(u.dir, "config.json")))
}

func (u *interrupted) moveOld() {
	u.t.Helper()
	assert.NilError(u.t, os.CopyFS(filepath.Join(u.dir, "rootfs-old"), os.DirFS(u.old)))
	u.moveAgain("rootfs-old")
}

func (u *interrupted) moveBoth() {
	u.t.Helper()
	u.moveOld()
	u.moveAgain("rootfs")
}

// TestUpgradeThatDockerWentOnFrom: docker started again before the record was saved, and
// ran the new rootfs with the old record. Its data is kept.
func TestUpgradeThatDockerWentOnFrom(t *testing.T) {
	u := upgradeByDocker(t, false)
	u.place(u.v1)
	u.moveBoth()
	state := filepath.Join(u.dir, "rootfs", "state")
	u.under(subject.Docker, func(s subject.Subject) {
		assert.NilError(t, s.Enable(u.name+":v1", &backend.PluginEnableConfig{Timeout: 5}))
		assert.NilError(t, os.WriteFile(state, []byte("data"), 0o600))
		assert.NilError(t, s.Disable(u.name+":v1", &backend.PluginDisableConfig{}))
	})
	u.assertReported()
	_, err := os.Stat(state)
	assert.NilError(t, err)
}

// TestUpgradeOfTheConfigThatDockerDidNotComplete: both versions have the same layers, and
// the plugin has data in the old rootfs.
func TestUpgradeOfTheConfigThatDockerDidNotComplete(t *testing.T) {
	u := &interrupted{shelf: newShelf(t), old: t.TempDir()}
	for _, version := range []string{"v1", "v2"} {
		publishContent(t, u.registry, version, "same")
	}
	u.under(subject.Docker, func(s subject.Subject) {
		u.pull(s, "v1")
		p, err := s.Inspect(u.name + ":v1")
		assert.NilError(t, err)
		u.dir = filepath.Join(u.config.Root, p.ID)
		u.v1 = u.record()
		assert.NilError(t, os.WriteFile(filepath.Join(u.dir, "rootfs", "state"), []byte("data"), 0o600))
		assert.NilError(t, os.CopyFS(u.old, os.DirFS(filepath.Join(u.dir, "rootfs"))))
		assert.NilError(t, s.Upgrade(t.Context(), u.ref("v2"), u.name+":v1", nil, nil, u.grants, io.Discard))
	})
	u.place(u.v1)
	u.moveBoth()
	s, err := subject.Dovetail(u.config)
	assert.NilError(t, err)
	defer s.Shutdown()
	p, err := s.Inspect(u.name + ":v1")
	assert.NilError(t, err)
	assert.Equal(t, p.Config.Documentation, "v1")
	_, err = os.Stat(filepath.Join(u.dir, "rootfs", "state"))
	assert.NilError(t, err)
	_, err = os.Stat(filepath.Join(u.dir, "rootfs-old"))
	assert.Check(t, os.IsNotExist(err), "%v", err)
}

// moveAgain renames a directory until the kernel's clock shows that it was changed
// after the record.
func (u *interrupted) moveAgain(name string) {
	u.t.Helper()
	path, record := filepath.Join(u.dir, name), u.changed("config.json")
	for begun := false; !begun || u.changed(name) <= record; begun = true {
		assert.NilError(u.t, os.Rename(path, path+".moved"))
		assert.NilError(u.t, os.Rename(path+".moved", path))
	}
}

func (u *interrupted) changed(name string) int64 {
	u.t.Helper()
	var stat unix.Stat_t
	assert.NilError(u.t, unix.Lstat(filepath.Join(u.dir, name), &stat))
	return stat.Ctim.Nano()
}

func (u *interrupted) remove(elements ...string) {
	u.t.Helper()
	assert.NilError(u.t, os.RemoveAll(filepath.Join(append([]string{u.dir}, elements...)...)))
}

// assertIs checks that our manager has the plugin in a version, and that nothing
// is left of the other. Docker's record of an upgrade names the config of the version
// before, and its collection deletes manifests: other checks of the root would fail.
func (u *interrupted) assertIs(version string) {
	u.t.Helper()
	s, err := subject.Dovetail(u.config)
	assert.NilError(u.t, err)
	defer s.Shutdown()
	p, err := s.Inspect(u.name + ":v1")
	assert.NilError(u.t, err)
	assert.Equal(u.t, p.Config.Documentation, version)
	content, err := os.ReadFile(filepath.Join(u.dir, "rootfs", "version"))
	assert.NilError(u.t, err)
	assert.Equal(u.t, string(content), version)
	assert.NilError(u.t, s.Enable(u.name+":v1", &backend.PluginEnableConfig{Timeout: 5}))
	assert.NilError(u.t, s.Disable(u.name+":v1", &backend.PluginDisableConfig{}))
	for dir, allowed := range map[string][]string{
		u.dir:                               {"config.json", "rootfs", "propagated-mount", "output.log"},
		filepath.Join(u.config.Root, "tmp"): nil,
	} {
		entries, err := os.ReadDir(dir)
		assert.NilError(u.t, err)
		for _, entry := range entries {
			assert.Check(u.t, slices.Contains(allowed, entry.Name()), "%s is left", entry.Name())
		}
	}
}

// assertReported checks that the plugin is listed as broken, with the fix, and that
// both versions are kept.
func (u *interrupted) assertReported() {
	u.t.Helper()
	s, err := subject.Dovetail(u.config)
	assert.NilError(u.t, err)
	defer s.Shutdown()
	s.GC()
	for _, p := range list(u.t, s) {
		assert.Check(u.t, strings.Contains(p.Config.Description, "docker's upgrade was interrupted"), p.Config.Description)
	}
	assert.Equal(u.t, len(list(u.t, s)), 1)
	for _, kept := range []string{"rootfs", "rootfs-old"} {
		_, err := os.Stat(filepath.Join(u.dir, kept))
		assert.Check(u.t, err)
	}
}
