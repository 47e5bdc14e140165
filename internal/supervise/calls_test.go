// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/bounded"
)

// takes is a call that takes some time.
func takes(wait time.Duration) func() (string, error) {
	return func() (string, error) {
		time.Sleep(wait)
		return "answer", nil
	}
}

// TestCallsAreBounded makes calls with a limit of ten seconds.
func TestCallsAreBounded(t *testing.T) {
	for _, tc := range []struct {
		name  string
		takes time.Duration
		hangs bool
		after time.Duration
	}{
		{"at once", 0, false, 0},
		{"in time", 9 * time.Second, false, 9 * time.Second},
		{"as this process was stopped", 10*time.Second + bounded.Grace/2, false, 10*time.Second + bounded.Grace/2},
		{"too late", time.Minute, true, 10*time.Second + bounded.Grace},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCalls()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				began := time.Now()
				answer, err := do(ctx, c, "the call", takes(tc.takes))
				assert.Equal(t, time.Since(began), tc.after)
				var hung *HungError
				assert.Equal(t, errors.As(err, &hung), tc.hangs)
				assert.Equal(t, answer == "answer", !tc.hangs)
				assert.Equal(t, c.busy(), tc.hangs)
				assert.NilError(t, c.idle(t.Context()))
			})
		})
	}
}

// TestCallsWaitForACallThatHangs makes a call after another call was given up.
func TestCallsWaitForACallThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCalls()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := do(ctx, c, "the first call", takes(time.Minute))
		assert.Check(t, is.ErrorContains(err, "the first call did not return in time"))
		short, cancelShort := context.WithTimeout(t.Context(), time.Second)
		defer cancelShort()
		_, err = do(short, c, "the second call", takes(0))
		assert.Check(t, is.ErrorContains(err, "the first call did not return in time"), "the wrong call is blamed")
		began := time.Now()
		answer, err := do(t.Context(), c, "the third call", takes(0))
		assert.NilError(t, err)
		assert.Equal(t, answer, "answer")
		assert.Check(t, time.Since(began) > 50*time.Second, "two calls at a time")
		synctest.Wait()
		assert.Equal(t, len(c.late), 1, "the return of the first call wakes no waiter")
	})
}

// TestCallsThatPanic turns panics into errors, and goes on.
func TestCallsThatPanic(t *testing.T) {
	c := newCalls()
	_, err := do(t.Context(), c, "the call", func() (string, error) { panic("no") })
	var panicked *bounded.PanicError
	assert.Assert(t, errors.As(err, &panicked))
	assert.Check(t, is.Contains(string(panicked.Stack), "calls_test.go"))
	_, err = do(t.Context(), c, "the call", takes(0))
	assert.NilError(t, err)
}
