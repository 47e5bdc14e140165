// SPDX-License-Identifier: Apache-2.0

//go:build unix

package dirlock

import (
	"errors"
	"os"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

func TestADirectoryIsLockedOnce(t *testing.T) {
	dir := t.TempDir()
	held, err := Lock(dir)
	assert.NilError(t, err)
	_, err = Lock(dir)
	assert.Assert(t, errors.Is(err, ErrLocked), "%v", err)
	assert.NilError(t, held.Close())
	held, err = Lock(dir)
	assert.NilError(t, err)
	assert.NilError(t, held.Close())
}

func TestADirectoryThatIsAbsent(t *testing.T) {
	_, err := Lock(t.TempDir() + "/absent")
	assert.Assert(t, errors.Is(err, os.ErrNotExist), "%v", err)
}

// Lock waits for a lock that outlives its process, like that of a child between
// fork and exec.
func TestALockOutlivesItsProcess(t *testing.T) {
	dir := t.TempDir()
	held, err := Lock(dir)
	assert.NilError(t, err)
	released := make(chan error, 1)
	time.AfterFunc(5*retryEvery, func() { released <- held.Close() })
	file, err := Lock(dir)
	assert.NilError(t, err)
	assert.NilError(t, <-released)
	assert.NilError(t, file.Close())
}
