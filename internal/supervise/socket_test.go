// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/socketpath"
)

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sock")
	assert.NilError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newSockets(t *testing.T) *Sockets {
	t.Helper()
	s := NewSockets()
	t.Cleanup(func() { assert.Check(t, s.Close()) })
	return s
}

// TestAwaitSocketInDirectories waits for sockets in directories that do not exist
// yet, and whose paths are longer than a sockaddr_un takes.
func TestAwaitSocketInDirectories(t *testing.T) {
	sockets := newSockets(t)
	for _, name := range []string{"csi/csi.sock", "a/b/c/p.sock", "/p.sock", "./a//p.sock", "a/../p.sock"} {
		for _, dir := range []string{shortDir(t), filepath.Join(shortDir(t), strings.Repeat("long", 30))} {
			assert.NilError(t, os.MkdirAll(dir, 0o755))
			ended := make(chan error, 1)
			go func() { ended <- sockets.Await(t.Context(), dir, name) }()
			assert.NilError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
			directory := socketpath.New(dir)
			path, err := directory.Path(name)
			assert.NilError(t, err)
			listener, err := net.Listen("unix", path)
			assert.NilError(t, err)
			assert.Check(t, <-ended, "%s in %s", name, dir)
			assert.Check(t, listener.Close())
			assert.Check(t, directory.Close())
			sockets.mu.Lock()
			assert.Check(t, is.Len(sockets.waiting, 0), "directories are watched for ever")
			sockets.mu.Unlock()
		}
	}
}

// TestAwaitSocketInDirectoryThatComesBack removes the directory of a socket on
// which nothing listens, as a plugin does that clears what its last run left.
func TestAwaitSocketInDirectoryThatComesBack(t *testing.T) {
	sockets, dir := newSockets(t), shortDir(t)
	path := filepath.Join(dir, "d", "p.sock")
	assert.NilError(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	ended := make(chan error, 1)
	go func() { ended <- sockets.Await(t.Context(), dir, "d/p.sock") }()
	for range 3 {
		assert.NilError(t, os.RemoveAll(filepath.Join(dir, "d")))
		assert.NilError(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	}
	listener, err := net.Listen("unix", path)
	assert.NilError(t, err)
	defer listener.Close()
	assert.NilError(t, <-ended)
}

func TestAwaitSocket(t *testing.T) {
	sockets := newSockets(t)
	for _, tc := range []struct {
		name string
		make func(t *testing.T, path string) net.Listener
	}{
		{"at once", nil},
		{"later", func(t *testing.T, path string) net.Listener {
			listener, err := net.Listen("unix", path)
			assert.NilError(t, err)
			return listener
		}},
		{"after a dead socket was replaced", func(t *testing.T, path string) net.Listener {
			dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			assert.NilError(t, err)
			dead.SetUnlinkOnClose(false)
			assert.NilError(t, dead.Close())
			assert.NilError(t, os.Remove(path))
			listener, err := net.Listen("unix", path)
			assert.NilError(t, err)
			return listener
		}},
		{"renamed into place", func(t *testing.T, path string) net.Listener {
			listener, err := net.Listen("unix", path+".new")
			assert.NilError(t, err)
			assert.NilError(t, os.Rename(path+".new", path))
			return listener
		}},
		{"a link to another name", func(t *testing.T, path string) net.Listener {
			listener, err := net.Listen("unix", path+".real")
			assert.NilError(t, err)
			assert.NilError(t, os.Symlink("p.sock.real", path))
			return listener
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := shortDir(t)
			path := filepath.Join(dir, "p.sock")
			if tc.make == nil {
				listener, err := net.Listen("unix", path)
				assert.NilError(t, err)
				defer listener.Close()
				assert.NilError(t, sockets.Await(t.Context(), dir, "p.sock"))
				return
			}
			result := make(chan error)
			go func() { result <- sockets.Await(t.Context(), dir, "p.sock") }()
			listener := tc.make(t, path)
			defer listener.Close()
			assert.NilError(t, <-result)
		})
	}
}

// TestAwaitSocketInDirectoryThatIsGone deletes the directory before, or while, a
// socket in it is waited for, as a cleanup of /run does.
func TestAwaitSocketInDirectoryThatIsGone(t *testing.T) {
	sockets := newSockets(t)
	for _, early := range []bool{true, false} {
		dir := filepath.Join(shortDir(t), "id")
		assert.NilError(t, os.Mkdir(dir, 0o755))
		if early {
			assert.NilError(t, os.Remove(dir))
		}
		ended := make(chan error, 1)
		go func() { ended <- sockets.Await(t.Context(), dir, "p.sock") }()
		assert.NilError(t, os.RemoveAll(dir))
		select {
		case err := <-ended:
			var missing *NoSocketError
			assert.Check(t, errors.As(err, &missing), "%v", err)
			assert.Check(t, is.ErrorIs(err, os.ErrNotExist))
		case <-time.After(time.Minute):
			t.Fatal("a directory that is gone is waited for")
		}
	}
}

func TestAwaitSocketNamesWhatIsThere(t *testing.T) {
	dir := shortDir(t)
	listener, err := net.Listen("unix", filepath.Join(dir, "wrong.sock"))
	assert.NilError(t, err)
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err = newSockets(t).Await(ctx, dir, "p.sock")
	var missing *NoSocketError
	assert.Assert(t, errors.As(err, &missing), "%v", err)
	assert.DeepEqual(t, missing.Found, []string{"wrong.sock"})
	assert.Check(t, is.ErrorIs(err, context.DeadlineExceeded))
	assert.Check(t, is.ErrorContains(err, `socket "p.sock" does not accept connections, found ["wrong.sock"]`))
}

// TestAwaitSocketOfTheHost puts a link to a socket of the host in the place of the
// plugin's socket. The daemon does not talk to that socket.
func TestAwaitSocketOfTheHost(t *testing.T) {
	others := filepath.Join(shortDir(t), "other.sock")
	listener, err := net.Listen("unix", others)
	assert.NilError(t, err)
	defer listener.Close()
	dir := shortDir(t)
	assert.NilError(t, os.Symlink(others, filepath.Join(dir, "p.sock")))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err = newSockets(t).Await(ctx, dir, "p.sock")
	var missing *NoSocketError
	assert.Assert(t, errors.As(err, &missing), "%v", err)
	assert.DeepEqual(t, missing.Found, []string{"p.sock -> " + others})
	assert.NilError(t, listener.(*net.UnixListener).SetDeadline(time.Unix(1, 0)))
	_, err = listener.Accept()
	assert.Check(t, is.ErrorIs(err, os.ErrDeadlineExceeded), "a client connected")
}

func TestAwaitSocketWithoutDirectory(t *testing.T) {
	err := newSockets(t).Await(t.Context(), filepath.Join(shortDir(t), "absent"), "p.sock")
	assert.Check(t, is.ErrorIs(err, os.ErrNotExist))
}

func TestAwaitManySockets(t *testing.T) {
	sockets := newSockets(t)
	const plugins = 200
	dirs, results := make([]string, plugins), make(chan error)
	for i := range dirs {
		dirs[i] = shortDir(t)
		go func() { results <- sockets.Await(t.Context(), dirs[i], "p.sock") }()
	}
	for _, dir := range dirs {
		listener, err := net.Listen("unix", filepath.Join(dir, "p.sock"))
		assert.NilError(t, err)
		defer listener.Close()
	}
	for range dirs {
		assert.NilError(t, <-results)
	}
	sockets.mu.Lock()
	defer sockets.mu.Unlock()
	assert.Equal(t, len(sockets.waiting), 0)
}

// A process can make as many files as it likes, and links to where it likes.
func TestNamesAreFew(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	assert.NilError(t, os.WriteFile(filepath.Join(outside, "secret"), nil, 0o600))
	assert.NilError(t, os.Symlink(outside, filepath.Join(dir, "out")))
	assert.DeepEqual(t, names(dir), []string{"out -> " + outside})
	deep := dir
	for range 3 * maxNameDepth {
		deep = filepath.Join(deep, "d")
		assert.NilError(t, os.Mkdir(deep, 0o700))
	}
	assert.NilError(t, os.WriteFile(filepath.Join(deep, "file"), nil, 0o600))
	assert.Equal(t, len(names(dir)), 1)
	for i := range 10 * maxLooked {
		assert.NilError(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600))
	}
	assert.Equal(t, len(names(dir)), enoughNames)
	assert.Equal(t, len(names(filepath.Join(dir, "missing"))), 0)
}

// TestAwaitLooksOnceMore waits with a limit that has passed while this process
// was stopped: a socket that accepts by now is seen.
func TestAwaitLooksOnceMore(t *testing.T) {
	sockets, dir := newSockets(t), shortDir(t)
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	var silent *NoSocketError
	assert.Check(t, errors.As(sockets.Await(ctx, dir, "p.sock"), &silent))
	listener, err := net.Listen("unix", filepath.Join(dir, "p.sock"))
	assert.NilError(t, err)
	defer listener.Close()
	assert.NilError(t, sockets.Await(ctx, dir, "p.sock"))
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	assert.Check(t, errors.As(sockets.Await(interrupted, dir, "p.sock"), &silent))
}
