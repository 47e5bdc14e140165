// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/internal/testseed"
)

// kernelPath returns where the kernel, confined to root, finds name; ok is
// false where it finds nothing.
func kernelPath(t *testing.T, root, name string) (path string, ok bool) {
	t.Helper()
	dir, err := os.Open(root)
	assert.NilError(t, err)
	defer dir.Close()
	fd, err := unix.Openat2(int(dir.Fd()), name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return "", false
	}
	defer unix.Close(fd)
	path, err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	assert.NilError(t, err)
	return path, true
}

// TestScopedPathAgreesWithTheKernel compares, in random trees of hostile
// links, with what a process confined to the rootfs would find.
func TestScopedPathAgreesWithTheKernel(t *testing.T) {
	seed := testseed.Of(t)
	random := rand.New(rand.NewPCG(seed, 0))
	parts := []string{"a", "b", "c", "d", "..", "../..", "/", "."}
	anyPath := func() string {
		chosen := make([]string, 1+random.IntN(6))
		for i := range chosen {
			chosen[i] = parts[random.IntN(len(parts))]
		}
		return strings.Join(chosen, "/")
	}
	compared := 0
	for range 40 {
		p, directory := plant(t, "", "a", "b/", "rootfs/a/b/c/", "rootfs/b/", "rootfs/c/d")
		for _, place := range []string{"rootfs/a/a", "rootfs/a/b/d", "rootfs/b/c", "rootfs/c/b", "rootfs/d"} {
			assert.NilError(t, os.Symlink(anyPath(), filepath.Join(directory, place)))
		}
		for range 100 {
			asked := "/" + anyPath()
			if want, ok := kernelPath(t, p.Rootfs, asked); ok {
				assert.Equal(t, p.ScopedPath(asked), want, "asked for %s", asked)
				compared++
			}
		}
	}
	assert.Assert(t, compared > 100, "only %d paths were there", compared)
}

// TestScopedPathOfWhatDoesNotAnswer looks into a file system with a silent server:
// its mount point is found, no path below is, and no call takes long.
func TestScopedPathOfWhatDoesNotAnswer(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	lookPatience = 50 * time.Millisecond
	t.Cleanup(func() { lookPatience = time.Second })
	p, directory := plant(t, "/volumes", "propagated-mount/v/", "propagated-mount/link -> v")
	mountpoint := filepath.Join(directory, "propagated-mount/v")
	server, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	assert.NilError(t, err)
	data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", server.Fd())
	assert.NilError(t, unix.Mount("silent", mountpoint, "fuse", 0, data))
	t.Cleanup(func() { assert.Check(t, unix.Unmount(mountpoint, unix.MNT_DETACH)) })
	assert.Equal(t, p.ScopedPath("/volumes/v"), mountpoint)
	assert.Equal(t, p.ScopedPath("/volumes/v/./"), mountpoint)
	assert.Equal(t, p.ScopedPath("/volumes/link"), mountpoint)
	assert.Equal(t, p.ScopedPath("/volumes/../etc"), filepath.Join(p.Rootfs, "etc"))
	nowhere := p.Rootfs + noSuchPath
	for range maxLooks {
		assert.Equal(t, p.ScopedPath("/volumes/v/in/it"), nowhere)
	}
	lookPatience = time.Hour // the next call does not even begin to wait
	assert.Equal(t, p.ScopedPath("/volumes/v/in/it"), nowhere)

	assert.NilError(t, server.Close()) // ends the lookups in progress
	for p.liveState().looking() > 0 {
		runtime.Gosched()
	}
	assert.Equal(t, p.ScopedPath("/etc"), filepath.Join(p.Rootfs, "etc"))
}

func (r *liveState) looking() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.looks
}
