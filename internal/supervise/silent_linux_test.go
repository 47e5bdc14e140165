// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/bounded/boundedtest"
	"github.com/dovetailhq/plugin/internal/socketpath"
)

// TestAttemptsDoNotPileUp makes starts and dials of a plugin whose socket leads
// into a file system that never answers, in each way that a plugin can arrange,
// and counts the threads that hang in it.
func TestAttemptsDoNotPileUp(t *testing.T) {
	for _, tc := range []struct {
		name    string
		arrange func(t *testing.T, dir, silent string) (socket string)
		most    int
	}{
		{"a link out of the directory", func(t *testing.T, dir, silent string) string {
			assert.NilError(t, os.Symlink(silent+"/p.sock", dir+"/p.sock"))
			return "p.sock"
		}, 0},
		{"a directory that is a link out", func(t *testing.T, dir, silent string) string {
			assert.NilError(t, os.Symlink(silent, dir+"/d"))
			return "d/p.sock"
		}, 2},
		{"a file system mounted in the directory", func(t *testing.T, dir, _ string) string {
			assert.NilError(t, os.Mkdir(dir+"/d", 0o755))
			boundedtest.Silence(t, dir+"/d")
			return "d/p.sock"
		}, 2},
		{"a link into one mounted in the directory", func(t *testing.T, dir, _ string) string {
			assert.NilError(t, os.Mkdir(dir+"/d", 0o755))
			assert.NilError(t, os.Symlink("d/p.sock", dir+"/p.sock"))
			boundedtest.Silence(t, dir+"/d")
			return "p.sock"
		}, 2},
		{"a file system mounted over the directory", func(t *testing.T, dir, _ string) string {
			boundedtest.Silence(t, dir)
			return "p.sock"
		}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir, silent := boundedtest.TempDir(t), boundedtest.TempDir(t)
			boundedtest.Silence(t, silent)
			socket := tc.arrange(t, dir, silent)
			sockets := newSockets(t)
			before := boundedtest.Hanging(t)
			for range 20 {
				short := func() context.Context {
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(10*time.Millisecond, cancel)
					return ctx
				}
				var missing *NoSocketError
				assert.Check(t, errors.As(sockets.Await(short(), dir, socket), &missing))
				_, err := socketpath.Dial(short(), dir, socket)
				var dial *net.OpError
				assert.Check(t, errors.As(err, &dial) && dial.Op == "dial", "%v", err)
				assert.Check(t, is.ErrorContains(err, "dial unix "+filepath.Join(dir, socket)+": "))
			}
			hanging := boundedtest.Hanging(t) - before
			assert.Check(t, hanging <= tc.most, "%d threads hang", hanging)
		})
	}
}
