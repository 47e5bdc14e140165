// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
)

func TestRemoveAllNeverDescendsBelowMount(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	dir, outside := prepare(t), prepare(t)
	target := filepath.Join(dir, "full", "mounted here")
	assert.NilError(t, os.Mkdir(target, 0o700))
	assert.NilError(t, unix.Mount(outside, target, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })

	var fs *FS
	err := fs.RemoveAll(filepath.Join(dir, "full"))
	var mounted *MountedError
	assert.Assert(t, errors.As(err, &mounted), "%v", err)
	assert.DeepEqual(t, mounted.Mounts, []string{target})
	assert.Check(t, exists(filepath.Join(dir, "full/file")), "refused, but deleted something")

	assert.NilError(t, unix.Unmount(target, 0))
	assert.NilError(t, fs.RemoveAll(filepath.Join(dir, "full")))
	assert.Check(t, exists(filepath.Join(outside, "full/file")))
}
