// SPDX-License-Identifier: Apache-2.0

//go:build unix

package layout

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"

	"gotest.tools/v3/assert"
)

// TestMain doubles as the other process: it holds the root named by the
// environment until its input ends.
func TestMain(m *testing.M) {
	dir := os.Getenv("LAYOUT_TEST_HOLD")
	if dir == "" {
		os.Exit(m.Run())
	}
	if _, err := Open(dir, nil); err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.WriteString("held\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func holdElsewhere(t *testing.T, dir string) (answer string, release func()) {
	t.Helper()
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), "LAYOUT_TEST_HOLD="+dir)
	in, err := other.StdinPipe()
	assert.NilError(t, err)
	out, err := other.StdoutPipe()
	assert.NilError(t, err)
	assert.NilError(t, other.Start())
	answer, err = bufio.NewReader(out).ReadString('\n')
	assert.NilError(t, err)
	return answer, func() {
		_ = in.Close()
		_ = other.Wait()
	}
}

func TestAnotherProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	answer, release := holdElsewhere(t, dir)
	assert.Equal(t, answer, "held\n")
	_, err := Open(dir, nil)
	var locked *LockedError
	assert.Assert(t, errors.As(err, &locked), "%v", err)
	assert.Equal(t, locked.Root, dir)

	release()
	r, err := Open(dir, nil)
	assert.NilError(t, err, "the lock outlived its process")
	answer, release = holdElsewhere(t, dir)
	release()
	assert.Equal(t, answer, (&LockedError{Root: dir}).Error()+"\n")

	assert.NilError(t, r.Close())
	answer, release = holdElsewhere(t, dir)
	release()
	assert.Equal(t, answer, "held\n", "Close released the root")
}

func TestNewerRootOfSameProcessFencesOlder(t *testing.T) {
	dir := t.TempDir()
	older, err := Open(dir, nil)
	assert.NilError(t, err)
	newer, err := Open(dir, nil)
	assert.NilError(t, err)

	var fenced *FencedError
	assert.Assert(t, errors.As(older.SaveRecord(id, nil), &fenced))
	assert.Assert(t, errors.As(older.Remove(id), &fenced))
	_, err = older.Stage(t.Context(), id)
	assert.Assert(t, errors.As(err, &fenced))
	_, err = older.Recover()
	assert.Assert(t, errors.As(err, &fenced))

	assert.NilError(t, older.Close())
	assert.NilError(t, newer.Check(), "closing the older one released the newer one's hold")
	answer, release := holdElsewhere(t, dir)
	release()
	assert.Equal(t, answer, (&LockedError{Root: dir}).Error()+"\n")
	assert.NilError(t, newer.Close())
	assert.Assert(t, errors.As(newer.Check(), &fenced))
}
