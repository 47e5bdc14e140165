// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"os"
	"path/filepath"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
)

func (r *Run) inside(id string) string {
	return filepath.Join(r.Config.Root, id, "propagated-mount", "volume")
}

// mountInside mounts a file system below a plugin's propagated mount, as the
// plugin could.
func (r *Run) mountInside(id string) {
	r.t.Helper()
	dir := r.inside(id)
	assert.NilError(r.t, os.MkdirAll(dir, 0o755))
	assert.NilError(r.t, unix.Mount("inside", dir, "tmpfs", 0, ""))
	r.t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// noteMounts notes the number of mounts at the place of mountInside.
func (r *Run) noteMounts(step, id string) {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(r.inside(id)))
	assert.NilError(r.t, err)
	r.See(step, "mounts inside", len(mounts))
}
