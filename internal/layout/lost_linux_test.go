// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// TestLostContentIsNotCommitted fills a stage on a disk that promises more space
// than it has, like a thin pool. Another program syncs the disk and gets the error;
// then there is space again. The stage must still notice the loss.
func TestLostContentIsNotCommitted(t *testing.T) {
	testenv.NeedsRoot(t, "making and mounting file systems")
	below, dir := t.TempDir(), t.TempDir()
	assert.NilError(t, unix.Mount("tmpfs", below, "tmpfs", 0, "size=80m"))
	t.Cleanup(func() { assert.Check(t, unix.Unmount(below, unix.MNT_DETACH)) })
	image, ballast := filepath.Join(below, "disk.img"), filepath.Join(below, "ballast")
	assert.NilError(t, os.WriteFile(image, nil, 0o600))
	assert.NilError(t, os.Truncate(image, 200<<20))
	call(t, "mkfs.ext4", "-q", "-O", "^has_journal", "-E", "lazy_itable_init=0,nodiscard", image)
	call(t, "mount", "-o", "loop,errors=continue", image, dir)
	t.Cleanup(func() { assert.Check(t, unix.Unmount(dir, unix.MNT_DETACH)) })

	root := open(t, filepath.Join(dir, "root"), nil)
	stage, err := root.Stage(t.Context(), id)
	assert.NilError(t, err)
	other, err := os.Open(dir)
	assert.NilError(t, err)
	defer other.Close()
	assert.NilError(t, unix.Syncfs(int(other.Fd())))
	assert.NilError(t, os.WriteFile(ballast, make([]byte, 40<<20), 0o600))
	content := bytes.Repeat([]byte("content "), 60<<20/8)
	assert.NilError(t, os.WriteFile(filepath.Join(stage.Rootfs(), "file"), content, 0o600))
	assert.Check(t, unix.Syncfs(int(other.Fd())) != nil, "the disk lost nothing")
	assert.NilError(t, os.Remove(ballast))

	assert.Check(t, stage.Commit([]byte("record")) != nil, "what was lost was committed")
	assert.NilError(t, stage.Abort())
	assert.NilError(t, install(root, "record"), "there is room again")
}

func call(t *testing.T, command ...string) {
	t.Helper()
	output, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	assert.NilError(t, err, "%q: %s", command, output)
}
