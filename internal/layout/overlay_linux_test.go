// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/testenv"
)

// mountAt mounts a file system until the test ends.
func mountAt(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	testenv.NeedsRoot(t, "mounting")
	assert.NilError(t, unix.Mount(source, target, kind, flags, data))
	t.Cleanup(func() { assert.Check(t, unix.Unmount(target, unix.MNT_DETACH)) })
}

// onOverlay returns a root that prepare made in a lower layer, on overlayfs that
// renames none of its directories, as in a container that was made from an image.
func onOverlay(t *testing.T, prepare func(r *Root)) string {
	t.Helper()
	dir := t.TempDir()
	mountAt(t, "none", dir, "tmpfs", 0, "") // overlayfs can't be an upper layer itself
	for _, sub := range []string{"lower", "upper", "work", "root"} {
		assert.NilError(t, os.Mkdir(filepath.Join(dir, sub), 0o700))
	}
	made, err := Open(filepath.Join(dir, "lower"), nil)
	assert.NilError(t, err)
	prepare(made)
	assert.NilError(t, made.Close())
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work,redirect_dir=off", dir)
	mountAt(t, "overlay", filepath.Join(dir, "root"), "overlay", 0, options)
	return filepath.Join(dir, "root")
}

func prepared(t *testing.T) func(r *Root) {
	return func(r *Root) {
		assert.NilError(t, install(r, "old"))
		assert.NilError(t, os.MkdirAll(filepath.Join(r.Plugin(id), "kept", "data"), 0o700))
	}
}

var onOverlayOperations = []struct {
	name  string
	do    func(r *Root) error
	after string
}{
	{"remove", func(r *Root) error { return r.Remove(id) }, ""},
	{"upgrade", func(r *Root) error { return upgrade(r, "new") }, "new"},
	{"save", func(r *Root) error { return r.SaveRecord(id, []byte("new")) }, "new"},
}

func TestOverlayRefusesToRenameDirectories(t *testing.T) {
	dir := onOverlay(t, prepared(t))
	err := os.Rename(filepath.Join(dir, id), filepath.Join(dir, id+".bak"))
	assert.Check(t, is.ErrorIs(err, unix.EXDEV), "the tests of this file prove nothing here")
}

// TestOverlayOperations has each operation done, again on what it made itself.
func TestOverlayOperations(t *testing.T) {
	for _, op := range onOverlayOperations {
		t.Run(op.name, func(t *testing.T) {
			dir := onOverlay(t, prepared(t))
			assert.NilError(t, op.do(open(t, dir, nil)))
			assert.Equal(t, recovered(t, dir), op.after)
			kept := filepath.Join(dir, id, "kept", "data")
			assert.Equal(t, mayExist(kept), op.after != "")
			if op.after != "" {
				assert.NilError(t, upgrade(open(t, dir, nil), "newest"))
				assert.Equal(t, recovered(t, dir), "newest")
				assert.Check(t, mayExist(kept))
				assert.NilError(t, open(t, dir, nil).Remove(id))
			}
			assert.NilError(t, install(open(t, dir, nil), "another"))
			assert.Equal(t, recovered(t, dir), "another")
		})
	}
}

// TestOverlayOperationIsWholeAtEveryStep stops the process at each step.
func TestOverlayOperationIsWholeAtEveryStep(t *testing.T) {
	for _, op := range onOverlayOperations {
		t.Run(op.name, func(t *testing.T) {
			for k, reached := 0, true; reached; k++ {
				dir := onOverlay(t, prepared(t))
				files := &durable.FS{}
				r := open(t, dir, files)
				calls := failing(files, func(call int) bool { return call >= k })
				err := op.do(r)
				reached = *calls > k
				got := recovered(t, dir)
				assert.Check(t, got == "old" || got == op.after, "step %d: %q", k, got)
				if err == nil {
					assert.Equal(t, got, op.after, "step %d", k)
				}
			}
		})
	}
}

// TestOverlayOneFaultLeavesWhatTheErrorSays fails one step, or several in a row.
func TestOverlayOneFaultLeavesWhatTheErrorSays(t *testing.T) {
	for _, op := range onOverlayOperations {
		for length := 1; length <= 4 && (op.name != "save" || length == 1); length++ {
			t.Run(fmt.Sprintf("%s %d steps", op.name, length), func(t *testing.T) {
				for k, reached := 0, true; reached; k++ {
					dir := onOverlay(t, prepared(t))
					files := &durable.FS{}
					r := open(t, dir, files)
					calls := failing(files, func(call int) bool { return call >= k && call < k+length })
					err := op.do(r)
					reached = *calls > k
					files.Fault = nil
					want := wantAfter(err, op.after)
					assert.Equal(t, recordSeen(r), want.seen, "step %d: %v", k, err)
					assert.NilError(t, r.SweepGarbage(t.Context()), "step %d: %v", k, err)
					assert.Equal(t, recovered(t, dir), want.recovered, "step %d: %v", k, err)
				}
			})
		}
	}
}

type wanted struct{ seen, recovered string }

// wantAfter is what an error promises, now and at the next start.
func wantAfter(err error, after string) wanted {
	var leftover *LeftoverError
	var unsettled *UnsettledError
	var interrupted *InterruptedError
	switch {
	case err == nil, errors.As(err, &leftover), errors.As(err, &unsettled):
		return wanted{after, after}
	case errors.As(err, &interrupted):
		return wanted{"interrupted", after}
	}
	return wanted{"old", "old"}
}

// recordSeen is what a manager that lives on has to go by.
func recordSeen(r *Root) string {
	if r.uninterrupted(id) != nil {
		return "interrupted"
	}
	if r.isRemoved(id) {
		return ""
	}
	record, _ := os.ReadFile(r.record(id))
	return string(record)
}

// A removal that is interrupted goes on, and what is mounted below is left until
// it is mounted no more.
func TestOverlayRemovalStopsAtMounts(t *testing.T) {
	dir := onOverlay(t, prepared(t))
	r := open(t, dir, nil)
	busy := filepath.Join(r.Plugin(id), "kept", "data")
	assert.NilError(t, unix.Mount("none", busy, "tmpfs", 0, ""))
	assert.NilError(t, os.WriteFile(filepath.Join(busy, "foreign"), nil, 0o600))
	var leftover *LeftoverError
	assert.Assert(t, errors.As(r.Remove(id), &leftover))
	found, err := r.Recover()
	assert.NilError(t, err)
	assert.Equal(t, len(found), 0, "it is removed")
	assert.ErrorContains(t, r.SweepGarbage(t.Context()), "is mounted below it")
	assert.Check(t, mayExist(filepath.Join(busy, "foreign")))
	count, _, err := r.Garbage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, count, 2)
	assert.NilError(t, unix.Unmount(busy, 0))
	assert.NilError(t, r.SweepGarbage(t.Context()))
	assert.Equal(t, recovered(t, dir), "")
}

// An upgrade whose old rootfs can't be deleted, for a mount, changes nothing.
func TestOverlayUpgradeStopsAtMounts(t *testing.T) {
	dir := onOverlay(t, func(r *Root) {
		assert.NilError(t, install(r, "old"))
		assert.NilError(t, os.Mkdir(filepath.Join(r.Rootfs(id), "busy"), 0o700))
	})
	r := open(t, dir, nil)
	busy := filepath.Join(r.Rootfs(id), "busy")
	assert.NilError(t, unix.Mount("none", busy, "tmpfs", 0, ""))
	var mounted *durable.MountedError
	assert.Assert(t, errors.As(upgrade(r, "new"), &mounted))
	assert.NilError(t, unix.Unmount(busy, 0))
	assert.Equal(t, recovered(t, dir), "old")
}

// TestOverlaySweepDuringRemoval sweeps at each step of a removal.
func TestOverlaySweepDuringRemoval(t *testing.T) {
	dir := onOverlay(t, prepared(t))
	files := &durable.FS{}
	r := open(t, dir, files)
	sweeping := false
	files.Fault = func(durable.Step) error {
		if sweeping {
			return nil
		}
		sweeping = true
		defer func() { sweeping = false }()
		return r.SweepGarbage(t.Context())
	}
	assert.NilError(t, r.Remove(id))
	files.Fault = nil
	assert.Equal(t, recovered(t, dir), "")
}

// Directories of a lower layer can't be moved up to delete them.
func TestOverlayRemovesDeepTrees(t *testing.T) {
	const levels = 200
	dir := onOverlay(t, func(r *Root) {
		assert.NilError(t, install(r, "old"))
		assert.NilError(t, os.MkdirAll(filepath.Join(r.Rootfs(id), strings.Repeat("d/", levels)), 0o700))
	})
	assert.NilError(t, open(t, dir, nil).Remove(id))
	assert.Check(t, !mayExist(filepath.Join(dir, id)))
	assert.Equal(t, recovered(t, dir), "")
}

// Broken and interrupted plugins of a lower layer can be removed.
func TestOverlayRemovesWhatHasNoRecord(t *testing.T) {
	for name, spoil := range map[string]func(r *Root) error{
		"no record": func(r *Root) error { return os.Remove(r.record(id)) },
		"interrupted upgrade": func(r *Root) error {
			return errors.Join(os.MkdirAll(filepath.Join(r.journal(id), rootfsName), 0o700), os.WriteFile(r.journalRecord(id), []byte("new"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			for k, reached := 0, true; reached; k++ {
				dir := onOverlay(t, func(r *Root) {
					assert.NilError(t, install(r, "old"))
					assert.NilError(t, spoil(r))
				})
				files := &durable.FS{}
				r := open(t, dir, files)
				calls := failing(files, func(call int) bool { return call == k })
				err := r.Remove(id)
				reached = *calls > k
				files.Fault = nil
				var leftover *LeftoverError
				if err != nil && !errors.As(err, &leftover) {
					assert.Check(t, !r.isRemoved(id), "step %d: %v", k, err)
					assert.NilError(t, r.Remove(id), "again, after step %d", k)
				}
				assert.Equal(t, recovered(t, dir), "", "step %d: %v", k, err)
			}
		})
	}
}

// A tmp on another file system is not used: stages are made next to the plugins.
func TestTmpOnAnotherFileSystem(t *testing.T) {
	dir := t.TempDir()
	assert.NilError(t, os.Mkdir(filepath.Join(dir, tmpName), 0o700))
	mountAt(t, "none", filepath.Join(dir, tmpName), "tmpfs", 0, "")
	assert.NilError(t, os.Mkdir(filepath.Join(dir, tmpName, id), 0o700)) // as an older manager left it
	r := open(t, dir, nil)
	assert.NilError(t, install(r, "old"))
	assert.NilError(t, upgrade(r, "new"))
	stage, err := r.Stage(t.Context(), strings.Repeat("a", 64))
	assert.NilError(t, err)
	assert.NilError(t, r.SweepGarbage(t.Context()))
	assert.Check(t, mayExist(stage.Rootfs()), "a stage that has not ended was swept")
	assert.NilError(t, stage.Abort())
	stage, err = r.Stage(t.Context(), strings.Repeat("c", 64))
	assert.NilError(t, err)
	assert.NilError(t, r.Close())

	r = open(t, dir, nil)
	assert.NilError(t, r.Sweep(t.Context()))
	assert.Check(t, !mayExist(stage.Rootfs()), "a stage that a crash left was not swept")
	for _, place := range []string{tmpName, stagesName} {
		left, err := os.ReadDir(filepath.Join(dir, place))
		assert.NilError(t, err)
		assert.Equal(t, len(left), 0, place)
	}
	found, err := r.Recover()
	assert.NilError(t, err)
	assert.Equal(t, string(found[0].Record), "new")
}

func TestReadOnlyRootIsRefused(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, nil)
	assert.NilError(t, r.Close())
	mountAt(t, dir, dir, "", unix.MS_BIND, "")
	assert.NilError(t, unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	_, err := Open(dir, nil)
	assert.Check(t, is.ErrorIs(err, unix.EROFS))
	assert.ErrorContains(t, err, "use plugin root "+dir)
	assert.NilError(t, unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT, ""))
	open(t, dir, nil)
}

// An old rootfs with a mount below it stays in the plugin's directory. Removing the
// plugin unmounts it.
func TestMountedLeftoverStaysInItsPlugin(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	assert.NilError(t, install(r, "old"))
	busy := filepath.Join(r.journal(id), oldRootfsName, "busy")
	assert.NilError(t, os.MkdirAll(busy, 0o700))
	mountAt(t, "none", busy, "tmpfs", 0, "")
	var mounted *durable.MountedError
	assert.Assert(t, errors.As(r.SweepGarbage(t.Context()), &mounted))
	assert.Check(t, mayExist(busy))
}
