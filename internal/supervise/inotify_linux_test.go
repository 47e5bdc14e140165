// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// limitVariable names the limit, a file in /proc/sys/user, that is zero in this
// process.
const limitVariable = "DOVETAIL_TEST_INOTIFY_LIMIT"

// TestAwaitSocketWithoutInotify waits for sockets where no inotify instance, or
// no watch, is left to the user. Limits are of a user namespace of the test's,
// see namespaces(7).
func TestAwaitSocketWithoutInotify(t *testing.T) {
	testenv.NeedsRoot(t, "limits of inotify")
	if limit := os.Getenv(limitVariable); limit != "" {
		awaitWithout(t, limit)
		return
	}
	for _, limit := range []string{"max_inotify_instances", "max_inotify_watches"} {
		t.Run(limit, func(t *testing.T) {
			again := exec.Command(os.Args[0], "-test.run=^TestAwaitSocketWithoutInotify$", "-test.count=1")
			again.Env = append(os.Environ(), limitVariable+"="+limit)
			own := func(id int) []syscall.SysProcIDMap { return []syscall.SysProcIDMap{{HostID: id, Size: 1}} }
			again.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags:  syscall.CLONE_NEWUSER,
				UidMappings: own(os.Getuid()),
				GidMappings: own(os.Getgid()),
			}
			output, err := again.CombinedOutput()
			assert.NilError(t, err, "%s", output)
		})
	}
}

// awaitWithout waits while the limit is zero, and while it is raised.
func awaitWithout(t *testing.T, limit string) {
	setLimit := func(to string) {
		t.Helper()
		assert.NilError(t, os.WriteFile(filepath.Join("/proc/sys/user", limit), []byte(to), 0o644))
	}
	sockets := newSockets(t)
	for _, name := range []string{"p.sock", "d/p.sock"} {
		for _, free := range []string{"0", "10"} {
			setLimit("0")
			dir := shortDir(t)
			path := filepath.Join(dir, name)
			ended := make(chan error, 1)
			go func() { ended <- sockets.Await(t.Context(), dir, name) }()
			assert.NilError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			setLimit(free)
			listener, err := net.Listen("unix", path)
			assert.NilError(t, err)
			assert.NilError(t, <-ended)
			assert.NilError(t, listener.Close())
		}
	}
}
