// SPDX-License-Identifier: Apache-2.0

package layout

import (
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

const block = 64 << 10 // large compared with the size of directories

func fill(t *testing.T, elements ...string) {
	t.Helper()
	path := filepath.Join(elements...)
	assert.NilError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	assert.NilError(t, os.WriteFile(path, make([]byte, block), 0o600))
}

// blocks rounds bytes to how many blocks they are.
func blocks(bytes int64) int64 { return (bytes + block/2) / block }

func TestUsage(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	assert.NilError(t, install(r, "record"))
	fill(t, r.Rootfs(id), "a")
	fill(t, r.Rootfs(id), "b")
	assert.NilError(t, os.Link(filepath.Join(r.Rootfs(id), "a"), filepath.Join(r.Rootfs(id), "another name of a")))
	fill(t, r.PropagatedMount(id), "volume", "data")
	fill(t, r.Output(id))
	fill(t, r.Output(id)+OlderSuffix)
	usage, err := r.Usage(t.Context(), id)
	assert.NilError(t, err)
	assert.DeepEqual(t, []int64{blocks(usage.Rootfs), blocks(usage.Data), blocks(usage.Output)}, []int64{2, 1, 2})

	usage, err = r.Usage(t.Context(), strings.Repeat("0", 64))
	assert.NilError(t, err)
	assert.Equal(t, usage, Usage{})
}

func TestUsageDoesNotCountWhatIsMounted(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	r := open(t, t.TempDir(), nil)
	assert.NilError(t, install(r, "record"))
	shared := r.PropagatedMount(id)
	fill(t, shared, "own")
	remote := filepath.Join(shared, "remote")
	assert.NilError(t, os.Mkdir(remote, 0o755))
	assert.NilError(t, unix.Mount(shared, shared, "", unix.MS_BIND, ""))
	t.Cleanup(func() { assert.Check(t, unix.Unmount(shared, unix.MNT_DETACH)) })
	assert.NilError(t, unix.Mount("none", remote, "tmpfs", 0, ""))
	t.Cleanup(func() { assert.Check(t, unix.Unmount(remote, unix.MNT_DETACH)) })
	fill(t, remote, "of the server")
	usage, err := r.Usage(t.Context(), id)
	assert.NilError(t, err)
	assert.Equal(t, blocks(usage.Data), int64(1))

	covering := t.TempDir()
	fill(t, covering, "of the host")
	assert.NilError(t, unix.Mount(covering, shared, "", unix.MS_BIND, ""))
	t.Cleanup(func() { assert.Check(t, unix.Unmount(shared, unix.MNT_DETACH)) })
	usage, err = r.Usage(t.Context(), id)
	assert.NilError(t, err)
	assert.Equal(t, blocks(usage.Data), int64(0))
}

func TestGarbageIsWhatSweepDeletes(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, nil)
	active, err := r.Stage(t.Context(), id)
	assert.NilError(t, err)
	fill(t, active.Rootfs(), "file")
	fill(t, dir, tmpName, "abandoned", "file")
	fill(t, dir, strings.Repeat("0", 64)+removingSuffix, "file")
	count, bytes, err := r.Garbage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, count, 2)
	assert.Equal(t, blocks(bytes), int64(2))

	assert.NilError(t, r.SweepGarbage(t.Context()))
	count, bytes, err = r.Garbage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, count, 0)
	assert.Equal(t, bytes, int64(0))
	assert.NilError(t, active.Commit([]byte("record")), "a stage was swept that is being worked on")
	assert.Check(t, mayExist(r.Plugin(id)))

	assert.NilError(t, os.RemoveAll(dir))
	_, _, err = r.Garbage(t.Context())
	assert.Check(t, is.ErrorIs(err, os.ErrNotExist))
	assert.Check(t, is.ErrorIs(r.SweepGarbage(t.Context()), os.ErrNotExist))
}

func TestStageReplacesWhatAnAbortLeft(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, nil)
	fill(t, dir, tmpName, id, "file")
	stage, err := r.Stage(t.Context(), id)
	assert.NilError(t, err)
	assert.Check(t, !mayExist(filepath.Join(dir, tmpName, id, "file")))
	assert.NilError(t, stage.Abort())
}

func TestStageWaitsForSweepOfItsName(t *testing.T) {
	dir := t.TempDir()
	files := &durable.FS{}
	r := open(t, dir, files)
	assert.NilError(t, install(r, "old"))
	fill(t, r.journal(id), oldRootfsName, "file")
	sweeping, goOn := make(chan struct{}), make(chan struct{})
	files.Fault = func(s durable.Step) error {
		if s.Op == "rename" && filepath.Dir(s.Path) == r.tmp() && !s.Done {
			close(sweeping)
			<-goOn
		}
		return nil
	}
	swept := make(chan error)
	go func() { swept <- r.SweepGarbage(t.Context()) }()
	<-sweeping
	files.Fault = nil
	upgraded := make(chan error)
	go func() { upgraded <- upgrade(r, "new") }()
	again := make(chan error)
	go func() { again <- r.SweepGarbage(t.Context()) }()
	select {
	case err := <-upgraded:
		t.Errorf("an upgrade came to its end while what the earlier one left was swept: %v", err)
	default:
	}
	select {
	case err := <-again:
		t.Errorf("a second sweep came to its end before the first: %v", err)
	default:
	}
	close(goOn)
	assert.NilError(t, <-swept)
	assert.NilError(t, <-again)
	assert.NilError(t, <-upgraded)
	assert.Equal(t, recovered(t, dir), "new")
}

// deepTree makes a tree in dir that no path can name to its end.
func deepTree(t *testing.T, dir string) {
	t.Helper()
	assert.NilError(t, os.MkdirAll(dir, 0o700))
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	assert.NilError(t, err)
	for range unix.PathMax {
		assert.NilError(t, unix.Mkdirat(fd, "d", 0o700))
		below, err := unix.Openat(fd, "d", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		assert.NilError(t, err)
		assert.NilError(t, unix.Close(fd))
		fd = below
	}
	assert.NilError(t, unix.Close(fd))
}

func TestDeepTreesAreMeasuredAndDeleted(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, nil)
	assert.NilError(t, install(r, "record"))
	for _, path := range []string{r.Rootfs(id), r.PropagatedMount(id), filepath.Join(dir, tmpName, "abandoned")} {
		deepTree(t, path)
	}
	usage, err := r.Usage(t.Context(), id)
	assert.NilError(t, err)
	assert.Check(t, usage.Rootfs >= unix.PathMax && usage.Data >= unix.PathMax, "%+v", usage)
	count, bytes, err := r.Garbage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, count, 1)
	assert.Check(t, bytes >= unix.PathMax)
	assert.NilError(t, upgrade(r, "new"))
	assert.NilError(t, r.Remove(id))
	assert.NilError(t, r.SweepGarbage(t.Context()))
	left, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	assert.NilError(t, err)
	assert.Equal(t, len(left), 0, "%q", left)
}
