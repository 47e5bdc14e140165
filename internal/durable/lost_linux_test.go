// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
)

const (
	exhaustedBytes = 24 << 20 // what the disk below holds
	promisedBytes  = 96 << 20 // what it says that it holds
)

// newExhaustedDisk mounts a file system on a thin disk: it promises more than
// there is, as thin pools and network disks do, so that files are accepted that
// can't be written.
func newExhaustedDisk(t *testing.T) (dir string) {
	t.Helper()
	testenv.NeedsRoot(t, "making and mounting file systems")
	below := t.TempDir()
	assert.NilError(t, unix.Mount("tmpfs", below, "tmpfs", 0, "size=24m"))
	t.Cleanup(func() { assert.Check(t, unix.Unmount(below, unix.MNT_DETACH)) })
	image := filepath.Join(below, "disk.img")
	assert.NilError(t, os.WriteFile(image, nil, 0o600))
	assert.NilError(t, os.Truncate(image, promisedBytes))
	// mkfs writes the metadata now, so that only the content of files is lost.
	call(t, "mkfs.ext4", "-q", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", image)
	dir = t.TempDir()
	call(t, "mount", "-o", "loop,errors=continue", image, dir)
	t.Cleanup(func() { assert.Check(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

func call(t *testing.T, command ...string) {
	t.Helper()
	output, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	assert.NilError(t, err, "%q: %s", command, output)
}

// TestSyncNoticesAReportedLoss writes more than the disk holds, and lets another
// program sync first. The kernel reports the loss to that program, and to
// descriptors that were open before.
func TestSyncNoticesAReportedLoss(t *testing.T) {
	dir := newExhaustedDisk(t)
	other, err := os.Open(dir)
	assert.NilError(t, err)
	defer other.Close()
	stage := filepath.Join(dir, "stage")
	assert.NilError(t, os.Mkdir(stage, 0o700))
	var files *FS
	tree, err := files.OpenTree(stage)
	assert.NilError(t, err)
	defer tree.Close()

	content := make([]byte, 2*exhaustedBytes)
	for i := range content {
		content[i] = byte(i)
	}
	assert.NilError(t, os.WriteFile(filepath.Join(stage, "file"), content, 0o600))
	assert.Check(t, unix.Syncfs(int(other.Fd())) != nil, "the disk lost nothing")

	late, err := files.OpenTree(stage)
	assert.NilError(t, err)
	defer late.Close()
	assert.Check(t, late.Sync(), "the kernel reports the loss only to open descriptors: if this fails, Tree is not needed any more")
	assert.Check(t, tree.Sync() != nil, "data was lost without an error")
}

// TestSyncNoticesALossOfTheUpperLayer does the same on overlayfs. Its syncfs does not
// report losses of the upper layer that the kernel's write-back found, or that were
// reported to another program.
func TestSyncNoticesALossOfTheUpperLayer(t *testing.T) {
	for _, reported := range []string{"nothing", "another program", "write-back"} {
		t.Run(reported, func(t *testing.T) {
			below := newExhaustedDisk(t)
			for _, sub := range []string{"lower", "upper", "work"} {
				assert.NilError(t, os.Mkdir(filepath.Join(below, sub), 0o700))
			}
			dir := t.TempDir()
			options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", below)
			assert.NilError(t, unix.Mount("overlay", dir, "overlay", 0, options))
			t.Cleanup(func() { assert.Check(t, unix.Unmount(dir, unix.MNT_DETACH)) })
			other, err := os.Open(below)
			assert.NilError(t, err)
			defer other.Close()
			var files *FS
			tree, err := files.OpenTree(dir)
			assert.NilError(t, err)
			defer tree.Close()

			path := filepath.Join(dir, "file")
			fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
			assert.NilError(t, err)
			block := make([]byte, 1<<20)
			for i := range block {
				block[i] = byte(i)
			}
			for range 2 * exhaustedBytes / len(block) {
				_, err := unix.Write(fd, block)
				assert.NilError(t, err)
			}
			switch reported {
			case "another program":
				assert.Check(t, unix.Syncfs(int(other.Fd())) != nil, "the disk lost nothing")
			case "write-back":
				upper, err := os.Open(filepath.Join(below, "upper", "file"))
				assert.NilError(t, err)
				_ = unix.SyncFileRange(int(upper.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
				assert.NilError(t, upper.Close())
			}
			closeFile := tree.FileCloser()
			assert.Assert(t, closeFile != nil, "syncfs of overlayfs is not enough")
			closeFile(fd)
			assert.Check(t, tree.Sync() != nil, "data was lost without an error")
		})
	}
}
