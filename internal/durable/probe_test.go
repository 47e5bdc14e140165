// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"gotest.tools/v3/assert"
)

// TestCanMoveAtOnce probes the same directories many times at once, as plugins
// that are upgraded at the same time do.
func TestCanMoveAtOnce(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	fs := &FS{}
	var probes sync.WaitGroup
	for range 16 {
		probes.Go(func() {
			for range 50 {
				movable, err := fs.CanMove(from, to)
				assert.Check(t, err)
				assert.Check(t, movable)
			}
		})
	}
	probes.Wait()
}

func TestForgetProbe(t *testing.T) {
	dir := t.TempDir()
	fs := &FS{}
	fs.ForgetProbe(dir) // there is nothing to forget
	left := filepath.Join(dir, probeName)
	assert.NilError(t, os.WriteFile(left, nil, 0o600))
	fs.ForgetProbe(dir)
	assert.Check(t, !exists(left))
}
