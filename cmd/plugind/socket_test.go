// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// abandon leaves a socket at path that no process listens on, as a killed
// process does.
func abandon(t testing.TB, path string) {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	assert.NilError(t, err)
	listener.SetUnlinkOnClose(false)
	assert.NilError(t, listener.Close())
}

func TestListenReplacesAnAbandonedSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	abandon(t, path)
	listener, err := options{host: "unix://" + path}.listen()
	assert.NilError(t, err)
	found, err := os.Stat(path)
	assert.NilError(t, err)
	assert.Equal(t, found.Mode(), os.ModeSocket|0o660)
	assert.NilError(t, listener.Close())
	_, err = os.Stat(path)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestListenRefuses(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(t *testing.T, path string)
		message string
		is      error
	}{
		{"a live socket", func(t *testing.T, path string) {
			listener, err := net.Listen("unix", path)
			assert.NilError(t, err)
			t.Cleanup(func() { assert.Check(t, listener.Close()) })
		}, "another process listens on it: stop it or choose another path", nil},
		{"a file", func(t *testing.T, path string) {
			assert.NilError(t, os.WriteFile(path, []byte("mine"), 0o600))
			t.Cleanup(func() {
				kept, err := os.ReadFile(path)
				assert.Check(t, err)
				assert.Check(t, string(kept) == "mine")
			})
		}, "the path is a file, not a socket", nil},
		{"a link", func(t *testing.T, path string) {
			target := path + ".target"
			assert.NilError(t, os.WriteFile(target, []byte("theirs"), 0o600))
			linkTo(t, target, path)
		}, "the path is a symbolic link, not a socket", nil},
		{"a link to nothing", func(t *testing.T, path string) {
			linkTo(t, path+".target", path)
			t.Cleanup(func() {
				_, err := os.Lstat(path + ".target")
				assert.Check(t, errors.Is(err, os.ErrNotExist), "%v", err)
			})
		}, "the path is a symbolic link, not a socket", nil},
		{"a link to a live socket", func(t *testing.T, path string) {
			listener, err := net.Listen("unix", path+".target")
			assert.NilError(t, err)
			t.Cleanup(func() { assert.Check(t, listener.Close()) })
			linkTo(t, path+".target", path)
		}, "the path is a symbolic link, not a socket", nil},
		{"a link to an abandoned socket", func(t *testing.T, path string) {
			abandon(t, path+".target")
			linkTo(t, path+".target", path)
		}, "the path is a symbolic link, not a socket", nil},
		{"a directory", func(t *testing.T, path string) {
			assert.NilError(t, os.Mkdir(path, 0o700))
		}, "the path is a directory, not a socket", nil},
		{"a fifo", func(t *testing.T, path string) {
			assert.NilError(t, syscall.Mkfifo(path, 0o600))
		}, "the path is a special file, not a socket", nil},
		{"a directory that is none", func(t *testing.T, path string) {
			assert.NilError(t, os.Remove(filepath.Dir(path)))
			assert.NilError(t, os.WriteFile(filepath.Dir(path), nil, 0o600))
		}, "", syscall.ENOTDIR},
		{"a directory that is not there", func(t *testing.T, path string) {
			assert.NilError(t, os.Remove(filepath.Dir(path)))
		}, "", os.ErrNotExist},
	} {
		t.Run(tc.name, func(t *testing.T) {
			directory := filepath.Join(t.TempDir(), "d")
			assert.NilError(t, os.Mkdir(directory, 0o700))
			path := filepath.Join(directory, "s")
			tc.prepare(t, path)
			_, err := options{host: "unix://" + path}.listen()
			assert.ErrorContains(t, err, "listen on unix://"+path+": "+tc.message)
			if tc.is != nil {
				assert.ErrorIs(t, err, tc.is)
			}
		})
	}
}

// linkTo makes path a link to target. Both must be unchanged at the end of the
// test.
func linkTo(t *testing.T, target, path string) {
	t.Helper()
	assert.NilError(t, os.Symlink(target, path))
	before, beforeErr := os.Lstat(target)
	t.Cleanup(func() {
		found, err := os.Readlink(path)
		assert.Check(t, err)
		assert.Check(t, found == target, "%s leads to %s", path, found)
		if beforeErr != nil {
			return
		}
		after, err := os.Lstat(target)
		assert.NilError(t, err)
		assert.Check(t, after.Mode() == before.Mode() && os.SameFile(before, after), "%s was changed", target)
	})
}

func TestSocketIsForItsGroup(t *testing.T) {
	testenv.NeedsRoot(t, "giving a socket to another group")
	daemon, err := user.LookupGroup("daemon")
	assert.NilError(t, err)
	for _, tc := range []struct{ group, want string }{
		{"", strconv.Itoa(os.Getgid())},
		{"daemon", daemon.Gid},
		{"4242", "4242"},
	} {
		t.Run(tc.group, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			umask := syscall.Umask(0o027)
			defer syscall.Umask(umask)
			listener, err := options{host: "unix://" + path, group: tc.group}.listen()
			assert.NilError(t, err)
			defer listener.Close()
			assert.Equal(t, syscall.Umask(0o027), 0o027, "the umask is another one now")
			found, err := os.Lstat(path)
			assert.NilError(t, err)
			assert.Equal(t, found.Mode(), os.ModeSocket|0o660)
			assert.Equal(t, strconv.Itoa(int(found.Sys().(*syscall.Stat_t).Gid)), tc.want)
			assert.Equal(t, found.Sys().(*syscall.Stat_t).Uid, uint32(os.Getuid()))
		})
	}
}

// TestOpenFollowsNothing replaces the socket by other files before it is opened
// to its group.
func TestOpenFollowsNothing(t *testing.T) {
	dir := t.TempDir()
	target, path := filepath.Join(dir, "target"), filepath.Join(dir, "s")
	assert.NilError(t, os.WriteFile(target, nil, 0o600))
	linkTo(t, target, path)
	assert.ErrorContains(t, grantAccess(path, -1), "the socket was replaced by another file")
	assert.ErrorIs(t, grantAccess(filepath.Join(dir, "absent"), -1), os.ErrNotExist)
}
