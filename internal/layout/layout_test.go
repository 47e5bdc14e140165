// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/durable"
)

var id = strings.Repeat("0123456789abcdef", 4)

func open(t *testing.T, dir string, files *durable.FS) *Root {
	t.Helper()
	r, err := Open(dir, files)
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, r.Close()) })
	return r
}

func install(r *Root, record string) error {
	stage, err := r.Stage(context.Background(), id)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(stage.Rootfs(), "entrypoint"), nil, 0o755); err != nil {
		return errors.Join(err, stage.Abort())
	}
	if err := stage.Commit([]byte(record)); err != nil {
		return errors.Join(err, stage.TakeBack())
	}
	return nil
}

// upgrade writes a rootfs with the version in its entrypoint; install writes none.
func upgrade(r *Root, record string) error {
	stage, err := r.Stage(context.Background(), id)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(stage.Rootfs(), "entrypoint"), []byte(record), 0o755); err != nil {
		return errors.Join(err, stage.Abort())
	}
	previous, err := os.ReadFile(r.record(id))
	if err != nil {
		return errors.Join(err, stage.Abort())
	}
	if err := stage.CommitUpgrade([]byte(record), previous); err != nil {
		return errors.Join(err, stage.Abort())
	}
	return nil
}

// recovered reopens dir as the next start would and returns the record that
// it finds, or "".
func recovered(t *testing.T, dir string) string {
	t.Helper()
	r := open(t, dir, nil)
	found, err := r.Recover()
	assert.NilError(t, err)
	assert.NilError(t, r.Sweep(t.Context()))
	leftovers, err := os.ReadDir(filepath.Join(dir, tmpName))
	assert.NilError(t, err)
	assert.Equal(t, len(leftovers), 0)
	entries, err := os.ReadDir(dir)
	assert.NilError(t, err)
	assert.Equal(t, len(entries), len(found)+2, "%v", entries)
	if len(found) == 0 {
		return ""
	}
	assert.NilError(t, found[0].Err)
	assert.Equal(t, found[0].ID, id)
	entrypoint, err := os.ReadFile(filepath.Join(r.Rootfs(id), "entrypoint"))
	assert.NilError(t, err)
	if len(entrypoint) > 0 {
		assert.Equal(t, string(entrypoint), string(found[0].Record), "rootfs and record are of two versions")
	}
	names, err := os.ReadDir(r.Plugin(id))
	assert.NilError(t, err)
	for _, name := range names {
		assert.Check(t, name.Name() == recordName || name.Name() == rootfsName || name.Name() == "kept", "%s is left", name)
	}
	return string(found[0].Record)
}

func TestEveryOperationIsWholeAtEveryStep(t *testing.T) {
	operations := []struct {
		name          string
		do            func(r *Root) error
		before, after string
	}{
		{"install", func(r *Root) error { return install(r, "new") }, "", "new"},
		{"save", func(r *Root) error { return r.SaveRecord(id, []byte("new")) }, "old", "new"},
		{"remove", func(r *Root) error { return r.Remove(id) }, "old", ""},
		{"upgrade", func(r *Root) error { return upgrade(r, "new") }, "old", "new"},
	}
	for _, op := range operations {
		for k := 0; ; k++ {
			dir := t.TempDir()
			prepared := open(t, dir, nil)
			if op.before != "" {
				assert.NilError(t, install(prepared, op.before))
			}
			calls, crashed := 0, false
			files := &durable.FS{}
			r := open(t, dir, files)
			// From step k on nothing works: the process stopped there.
			files.Fault = func(durable.Step) error {
				calls++
				if calls <= k {
					return nil
				}
				crashed = true
				return errors.New("power is gone")
			}
			err := op.do(r)
			got := recovered(t, dir)
			if !crashed {
				assert.NilError(t, err)
				assert.Equal(t, got, op.after)
				assert.Check(t, k > 3, "%s has no steps", op.name)
				break
			}
			assert.Check(t, got == op.before || got == op.after, "%s at step %d: %q", op.name, k, got)
			if err == nil {
				assert.Equal(t, got, op.after)
			}
		}
	}
}

func TestRecoverTouchesNothingForeign(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, nil)
	foreign := []string{"lost+found", "not-an-id-removing", id + ".bak", strings.ToUpper(id) + "-removing"}
	for _, name := range foreign {
		assert.NilError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	assert.NilError(t, os.Mkdir(filepath.Join(dir, id+removingSuffix), 0o700))
	assert.NilError(t, os.MkdirAll(filepath.Join(dir, tmpName, "old stage", "rootfs"), 0o700))

	found, err := r.Recover()
	assert.NilError(t, err)
	assert.Equal(t, len(found), 0)
	assert.NilError(t, r.Sweep(t.Context()))
	for _, name := range foreign {
		_, err := os.Stat(filepath.Join(dir, name))
		assert.NilError(t, err, "a name that is not ours is gone")
	}
	for _, name := range []string{id + removingSuffix, tmpName + "/old stage"} {
		_, err := os.Stat(filepath.Join(dir, name))
		assert.Check(t, is.ErrorIs(err, os.ErrNotExist), name)
	}
}

func TestRecoverReportsUnreadableRecord(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, nil)
	assert.NilError(t, os.Mkdir(r.Plugin(id), 0o700))
	found, err := r.Recover()
	assert.NilError(t, err)
	assert.Equal(t, len(found), 1)
	assert.Check(t, is.ErrorIs(found[0].Err, os.ErrNotExist))
}

// TestRecoverReportsLinks: a plugin whose directory was moved behind a link is not
// lost, whether or not the link leads anywhere. Its removal deletes the link.
func TestRecoverReportsLinks(t *testing.T) {
	for _, leads := range []bool{true, false} {
		dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "plugin")
		r := open(t, dir, nil)
		assert.NilError(t, install(r, "record"))
		assert.NilError(t, os.Rename(r.Plugin(id), elsewhere))
		assert.NilError(t, os.Symlink(elsewhere, r.Plugin(id)))
		if !leads {
			assert.NilError(t, os.RemoveAll(elsewhere))
		}
		found, err := r.Recover()
		assert.NilError(t, err)
		assert.Equal(t, len(found), 1)
		assert.ErrorContains(t, found[0].Err, r.Plugin(id)+" is a symbolic link")
		assert.NilError(t, r.Remove(id))
		left, err := r.Recover()
		assert.NilError(t, err)
		assert.Equal(t, len(left), 0)
		_, err = os.Stat(filepath.Join(elsewhere, recordName))
		assert.Equal(t, err == nil, leads, "%v", err)
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, nil)
	stage, err := r.Stage(t.Context(), id)
	assert.NilError(t, err)
	_, err = r.Stage(t.Context(), id)
	assert.Check(t, is.ErrorIs(err, os.ErrExist), "two stages of one id")
	assert.NilError(t, stage.Abort())
	assert.NilError(t, stage.Abort(), "twice")
	assert.Equal(t, recovered(t, dir), "")
}

// TestUpgradeThatFailsLeavesOldVersion fails one step, before and after it
// happened; the process lives on and undoes what was done.
func TestUpgradeThatFailsLeavesOldVersion(t *testing.T) {
	broken := errors.New("disk error")
	for k := 0; ; k++ {
		dir := t.TempDir()
		files := &durable.FS{}
		r := open(t, dir, files)
		assert.NilError(t, install(r, "old"))
		assert.NilError(t, os.Mkdir(filepath.Join(r.Plugin(id), "kept"), 0o700))
		calls := 0
		files.Fault = func(durable.Step) error {
			calls++
			if calls-1 == k {
				return broken
			}
			return nil
		}
		err := upgrade(r, "new")
		files.Fault = nil
		reached := calls > k
		var leftover *LeftoverError
		switch {
		case !reached:
			assert.NilError(t, err)
			assert.Equal(t, recovered(t, dir), "new")
			assert.Check(t, mayExist(filepath.Join(r.Plugin(id), "kept")))
			return
		case errors.As(err, &leftover), err == nil:
			assert.Equal(t, recovered(t, dir), "new", "step %d", k)
		default:
			assert.Check(t, is.ErrorIs(err, broken), "step %d", k)
			assert.Check(t, !mayExist(r.journal(id)), "step %d", k)
			record, err := os.ReadFile(filepath.Join(r.Plugin(id), recordName))
			assert.NilError(t, err)
			assert.Equal(t, string(record), "old", "step %d", k)
			assert.Equal(t, recovered(t, dir), "old", "step %d", k)
		}
	}
}

// TestUpgradeThatFailsAndCrashes fails one step and, while that is undone,
// stops the process at a later one: still one version is there, whole.
func TestUpgradeThatFailsAndCrashes(t *testing.T) {
	for k := range 16 {
		for crash := k + 1; ; crash++ {
			dir := t.TempDir()
			files := &durable.FS{}
			r := open(t, dir, files)
			assert.NilError(t, install(r, "old"))
			calls := 0
			files.Fault = func(durable.Step) error {
				calls++
				if calls-1 == k || calls-1 >= crash {
					return errors.New("disk error")
				}
				return nil
			}
			err := upgrade(r, "new")
			files.Fault = nil
			got := recovered(t, dir)
			assert.Check(t, got == "old" || got == "new", "step %d, crash at %d: %q", k, crash, got)
			if err == nil {
				assert.Equal(t, got, "new")
			}
			if calls <= crash {
				break
			}
		}
	}
}
