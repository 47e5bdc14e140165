// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/durable"
)

// TestSweepsLeaveProbesAlone: a probe makes its file in tmp, where everything else is
// garbage. A file that a crash left is replaced by the next probe.
func TestSweepsLeaveProbesAlone(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, nil)
	probe := filepath.Join(dir, tmpName, ".rename-check")
	assert.Check(t, durable.IsProbe(filepath.Base(probe)))
	assert.NilError(t, os.WriteFile(probe, nil, 0o600))
	assert.NilError(t, r.Sweep(t.Context()))
	assert.Check(t, mayExist(probe), "a sweep deleted what a probe was about to rename")
	count, _, err := r.Garbage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, count, 0)
	assert.NilError(t, r.Close())
	open(t, dir, nil)
	assert.Check(t, !mayExist(probe))
}

// TestStageWaitsForASweepNoLongerThanItsContext claims an ID as a sweep does.
func TestStageWaitsForASweepNoLongerThanItsContext(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	assert.NilError(t, r.stages.begin(id, bySweep))
	given := errors.New("given up")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(given)
	_, err := r.Stage(ctx, id)
	assert.Check(t, errors.Is(err, given), "%v", err)

	synctest.Test(t, func(t *testing.T) {
		r.stages.end(id)
		assert.NilError(t, r.stages.begin(id, bySweep))
		begun := make(chan error)
		go func() { begun <- r.stages.await(t.Context(), id) }()
		synctest.Wait()
		r.stages.end(id)
		assert.NilError(t, <-begun)
		assert.Check(t, errors.Is(r.stages.await(t.Context(), id), os.ErrExist), "a stage waits for another stage")
		r.stages.end(id)
	})
}
