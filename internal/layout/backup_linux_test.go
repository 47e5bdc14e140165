// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/durable"
)

// moved makes a backup of the rootfs, as the first step of docker's upgrade does.
func moved(r *Root) error { return os.Rename(r.Rootfs(id), r.Backup(id)) }

// replaced makes a backup of the rootfs, and another rootfs.
func replaced(r *Root) error {
	return errors.Join(moved(r), os.Mkdir(r.Rootfs(id), 0o755), os.WriteFile(filepath.Join(r.Rootfs(id), "entrypoint"), []byte("new"), 0o755))
}

// TestBackupGoesBack interrupts the restore of a backup at each step, and then
// completes it, on a file system that renames the backup and on overlayfs that does not.
func TestBackupGoesBack(t *testing.T) {
	for name, state := range map[string]func(r *Root) error{"alone": moved, "next to a rootfs": replaced} {
		for where, prepare := range map[string]func(*testing.T, func(r *Root)) string{
			"renamed": func(t *testing.T, do func(r *Root)) string {
				dir := t.TempDir()
				r, err := Open(dir, nil)
				assert.NilError(t, err)
				do(r)
				assert.NilError(t, r.Close())
				return dir
			},
			"copied": onOverlay,
		} {
			t.Run(name+" "+where, func(t *testing.T) {
				for k, reached := 0, true; reached; k++ {
					dir := prepare(t, func(r *Root) {
						assert.NilError(t, install(r, "old"))
						assert.NilError(t, os.Symlink("entrypoint", filepath.Join(r.Rootfs(id), "link")))
						assert.NilError(t, state(r))
					})
					files := &durable.FS{}
					r := open(t, dir, files)
					calls := failing(files, func(call int) bool { return call >= k })
					_ = goBack(r) // what it leaves is what counts
					reached = *calls > k
					assert.NilError(t, r.Close())
					r = open(t, dir, nil)
					assert.NilError(t, goBack(r), "step %d", k)
					assert.NilError(t, r.Sweep(t.Context()), "step %d", k)
					data, err := os.ReadFile(filepath.Join(r.Rootfs(id), "link"))
					assert.NilError(t, err, "step %d", k)
					assert.Equal(t, string(data), "", "step %d", k)
					entries, err := os.ReadDir(r.Plugin(id))
					assert.NilError(t, err)
					assert.Equal(t, len(entries), 2, "step %d: %v", k, entries)
				}
			})
		}
	}
}

// goBack does what a manager does when it starts, and knows that the record is the old
// one: a backup that is reported is complete.
func goBack(r *Root) error {
	found, err := r.Recover()
	if err != nil {
		return err
	}
	if !found[0].Backup {
		return found[0].Err
	}
	return errors.Join(found[0].Err, r.RestoreBackup(id))
}

// TestSpentBackupIsGarbage: a backup counts as garbage once it is discarded, not
// before.
func TestSpentBackupIsGarbage(t *testing.T) {
	r := open(t, t.TempDir(), &durable.FS{Patience: -1})
	assert.NilError(t, install(r, "old"))
	assert.NilError(t, replaced(r))
	fill(t, r.Backup(id), "large")
	garbage := func() (int, int64) {
		count, bytes, err := r.Garbage(t.Context())
		assert.NilError(t, err)
		return count, blocks(bytes)
	}
	count, _ := garbage()
	assert.Equal(t, count, 0)
	assert.NilError(t, r.SweepGarbage(t.Context()))
	assert.Check(t, mayExist(r.Backup(id)), "it may be what the record describes")

	assert.NilError(t, r.DiscardBackup(id))
	count, bytes := garbage()
	assert.Equal(t, count, 1)
	assert.Equal(t, bytes, int64(1))
	assert.NilError(t, r.SweepGarbage(t.Context()))
	assert.Check(t, !mayExist(r.Backup(id)))
	count, _ = garbage()
	assert.Equal(t, count, 0)
	assert.Check(t, mayExist(r.Rootfs(id)))
}

// A backup that was partly deleted is not used by the next start, whichever of its
// files are left.
func TestDiscardedBackupIsNotRestored(t *testing.T) {
	for name, where := range map[string]func(t *testing.T, do func(r *Root)) string{
		"plain": func(t *testing.T, do func(r *Root)) string {
			dir := t.TempDir()
			r, err := Open(dir, nil)
			assert.NilError(t, err)
			do(r)
			assert.NilError(t, r.Close())
			return dir
		},
		"overlay": onOverlay,
	} {
		t.Run(name, func(t *testing.T) {
			for k, reached := 0, true; reached; k++ {
				dir := where(t, func(r *Root) {
					assert.NilError(t, install(r, "old"))
					assert.NilError(t, replaced(r))
				})
				whole, err := os.ReadDir(filepath.Join(dir, id, backupName))
				assert.NilError(t, err)
				files := &durable.FS{}
				r := open(t, dir, files)
				calls := failing(files, func(call int) bool { return call >= k })
				err = r.DiscardBackup(id)
				reached = *calls > k
				assert.NilError(t, r.Close())
				found, recoverErr := open(t, dir, nil).Recover()
				assert.NilError(t, errors.Join(recoverErr, found[0].Err))
				left, _ := os.ReadDir(filepath.Join(dir, id, backupName))
				assert.Check(t, !found[0].Backup || err != nil && len(left) == len(whole), "step %d: %v", k, err)
			}
		})
	}
}

// A plugin that was put back by copy is installed if the backup is garbage. A plugin
// with a backup that can't be marked as garbage, or only until a power cut, is broken:
// the next start restores it again.
func TestPutBackWithLeftover(t *testing.T) {
	for _, state := range []func(r *Root) error{moved, replaced} {
		for _, failing := range []string{"none", "chmod", "sync"} {
			dir := onOverlay(t, func(r *Root) {
				assert.NilError(t, install(r, "old"))
				assert.NilError(t, state(r))
			})
			files := &durable.FS{}
			if failing == "none" {
				files.Patience = -1
			}
			r := open(t, dir, files)
			files.Fault = func(s durable.Step) error {
				if strings.HasPrefix(s.Op, failing) && filepath.Base(s.Path) == backupName {
					return errors.New("input/output error")
				}
				return nil
			}
			backupError := (*BackupError)(nil)
			err := goBack(r)
			assert.Equal(t, errors.As(err, &backupError), failing != "none", "%s: %v", failing, err)
			assert.Check(t, mayExist(filepath.Join(r.Rootfs(id), "entrypoint")))
			files.Fault = nil
			if failing == "chmod" {
				same, err := r.IsBackupIdentical(t.Context(), id)
				assert.Check(t, err == nil && same, "%v", err)
				assert.NilError(t, r.RestoreBackup(id))
			}
			assert.NilError(t, r.Sweep(t.Context()))
			assert.Check(t, mayExist(filepath.Join(r.Rootfs(id), "entrypoint")))
			assert.Check(t, !mayExist(r.Backup(id)))
			assert.NilError(t, r.Close())
		}
	}
}

// Docker's manager writes a record to a file of another name than ours.
func TestSweepDeletesRecordsThatDockerDidNotPlace(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	assert.NilError(t, install(r, "old"))
	left := filepath.Join(r.Plugin(id), ".tmp-config.json123")
	assert.NilError(t, os.WriteFile(left, nil, 0o600))
	assert.NilError(t, r.Sweep(t.Context()))
	assert.Check(t, !mayExist(left))
	assert.Check(t, mayExist(r.record(id)))
}
