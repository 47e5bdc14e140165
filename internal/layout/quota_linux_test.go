// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/testenv"
)

// withProjectQuota returns a root on xfs with a plugin whose directory belongs to a
// project, so that nothing from outside can be renamed into it.
func withProjectQuota(t *testing.T, disk, name string) string {
	t.Helper()
	dir := filepath.Join(disk, name)
	assert.NilError(t, install(open(t, dir, nil), "old"))
	call(t, "chattr", "-R", "-p", "7", filepath.Join(dir, id))
	call(t, "chattr", "-R", "+P", filepath.Join(dir, id))
	return dir
}

func newXFS(t *testing.T) string {
	t.Helper()
	testenv.NeedsRoot(t, "making and mounting file systems")
	image, dir := filepath.Join(t.TempDir(), "disk.img"), t.TempDir()
	assert.NilError(t, os.WriteFile(image, nil, 0o600))
	assert.NilError(t, os.Truncate(image, 400<<20))
	call(t, "mkfs.xfs", "-q", image)
	call(t, "mount", "-o", "loop", image, dir)
	t.Cleanup(func() { assert.Check(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// TestUpgradeWithinProjectQuota upgrades a plugin that has a project quota, and
// stops, or fails one step, at each step of it.
func TestUpgradeWithinProjectQuota(t *testing.T) {
	disk := newXFS(t)
	dir := withProjectQuota(t, disk, "whole")
	r := open(t, dir, nil)
	err := os.Rename(r.tmp(), filepath.Join(r.Plugin(id), "moved"))
	assert.Check(t, is.ErrorIs(err, unix.EXDEV), "this test proves nothing")
	assert.NilError(t, upgrade(r, "new"))
	assert.NilError(t, upgrade(r, "newer"))
	assert.Equal(t, recovered(t, dir), "newer")
	for _, kind := range []string{"stop", "fail once"} {
		t.Run(kind, func(t *testing.T) {
			for k, reached := 0, true; reached; k++ {
				dir := withProjectQuota(t, disk, "root")
				files := &durable.FS{}
				r := open(t, dir, files)
				calls := failing(files, func(call int) bool { return call == k || kind == "stop" && call > k })
				err := upgrade(r, "new")
				reached = *calls > k
				files.Fault = nil
				got := recovered(t, dir)
				assert.Check(t, got == "old" || got == "new", "step %d: %q", k, got)
				if kind == "fail once" {
					assert.Equal(t, got, wantAfter(err, "new").recovered, "step %d: %v", k, err)
				}
				assert.Check(t, !mayExist(r.upgradeStage(id)), "step %d: %v", k, err)
				assert.NilError(t, os.RemoveAll(dir))
			}
		})
	}
}
