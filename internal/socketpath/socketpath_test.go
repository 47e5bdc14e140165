// SPDX-License-Identifier: Apache-2.0

//go:build linux

package socketpath

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

func TestErrorsArePlain(t *testing.T) { plaintexttest.Check(t, &TooLongError{}) }

// Sockets with paths of every length around Max can be listened on and dialed.
func TestPathsAreReachable(t *testing.T) {
	base, err := os.MkdirTemp("", "sp")
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, os.RemoveAll(base)) })
	for length := Max - 5; length <= Max+5; length++ {
		dir := filepath.Join(base, strings.Repeat("d", length-len(base)-len("//id/p.sock")))
		assert.NilError(t, os.MkdirAll(filepath.Join(dir, "id"), 0o755))
		directory := New(dir)
		path, err := directory.Path("id/p.sock")
		assert.NilError(t, err)
		assert.Check(t, len(path) <= Max)
		assert.Check(t, is.Equal(path == filepath.Join(dir, "id/p.sock"), length <= Max))
		listener, err := net.Listen("unix", path)
		assert.NilError(t, err)
		connection, err := net.Dial("unix", path)
		assert.NilError(t, err)
		assert.Check(t, connection.Close())
		assert.Check(t, listener.Close())
		assert.Check(t, directory.Close())
	}
}

func TestDirectoryThatWasReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	directory := New(dir)
	defer directory.Close()
	_, err := directory.Path("p.sock")
	assert.Check(t, is.ErrorIs(err, os.ErrNotExist))
	assert.NilError(t, os.Mkdir(dir, 0o755))
	first, err := directory.Path("p.sock")
	assert.NilError(t, err)
	again, err := directory.Path("p.sock")
	assert.NilError(t, err)
	assert.Equal(t, again, first, "each call opens a descriptor")

	assert.NilError(t, os.Rename(dir, dir+"x"))
	assert.NilError(t, os.Mkdir(dir, 0o755))
	second, err := directory.Path("p.sock")
	assert.NilError(t, err)
	assert.NilError(t, os.WriteFile(second, nil, 0o600))
	_, err = os.Stat(filepath.Join(dir, "p.sock"))
	assert.NilError(t, err)
}

func TestTooLongName(t *testing.T) {
	directory := New(t.TempDir())
	defer directory.Close()
	_, err := directory.Path(strings.Repeat("n", Max))
	var tooLong *TooLongError
	assert.Assert(t, is.ErrorType(err, tooLong))
	assert.Check(t, is.Contains(err.Error(), "the system allows 107: shorten"))
}
