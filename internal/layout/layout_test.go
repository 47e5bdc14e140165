package layout

import (
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
	stage, err := r.Stage(id)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(stage.Rootfs(), "entrypoint"), nil, 0o755); err != nil {
		return errors.Join(err, stage.Abort())
	}
	if err := stage.Commit([]byte(record)); err != nil {
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
	_, err = os.Stat(filepath.Join(r.Rootfs(id), "entrypoint"))
	assert.NilError(t, err)
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

func TestAbortLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, nil)
	stage, err := r.Stage(id)
	assert.NilError(t, err)
	_, err = r.Stage(id)
	assert.Check(t, is.ErrorIs(err, os.ErrExist), "two stages of one id")
	assert.NilError(t, stage.Abort())
	assert.NilError(t, stage.Abort(), "twice")
	assert.Equal(t, recovered(t, dir), "")
}
