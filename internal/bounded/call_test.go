// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

var errOwn = errors.New("an error of the call's own")

// takes is a call that takes some time.
func takes(wait time.Duration) func() (string, error) {
	return func() (string, error) {
		time.Sleep(wait)
		return "answer", errOwn
	}
}

// TestAwait waits for a call with each way in which a context can end.
func TestAwait(t *testing.T) {
	errGone := errors.New("the client has left")
	for _, tc := range []struct {
		name     string
		takes    time.Duration
		limit    time.Duration // 0 for a client that leaves after ten seconds
		returned bool
		after    time.Duration
	}{
		{"at once", 0, 10 * time.Second, true, 0},
		{"in time", 9 * time.Second, 10 * time.Second, true, 9 * time.Second},
		{"as this process was stopped", 10*time.Second + Grace/2, 10 * time.Second, true, 10*time.Second + Grace/2},
		{"too late", time.Hour, 10 * time.Second, false, 10*time.Second + Grace},
		{"for a client that stays", 9 * time.Second, 0, true, 9 * time.Second},
		{"for a client that leaves", time.Hour, 0, false, 10 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tc.limit)
				if tc.limit == 0 {
					left, leave := context.WithCancelCause(t.Context())
					time.AfterFunc(10*time.Second, func() { leave(errGone) })
					ctx = left
				}
				defer cancel()
				began := time.Now()
				call := Go(takes(tc.takes))
				value, returned, err := call.Await(ctx)
				assert.Equal(t, time.Since(began), tc.after)
				assert.Equal(t, returned, tc.returned)
				switch {
				case returned:
					assert.Equal(t, value, "answer")
					assert.Equal(t, err, errOwn)
				case tc.limit == 0:
					assert.Equal(t, err, errGone)
				default:
					assert.Equal(t, err, context.DeadlineExceeded)
				}
				value, returned, err = call.Await(context.Background())
				assert.Check(t, returned && value == "answer" && err == errOwn, "a later caller does not join it")
			})
		})
	}
}

// TestAnswerThatHasCome ends the context before the answer is looked for.
func TestAnswerThatHasCome(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	call := Go(func() (int, error) { return 7, nil })
	<-call.Done()
	value, returned, err := call.Await(ctx)
	assert.NilError(t, err)
	assert.Check(t, returned && value == 7)
}

func TestPanics(t *testing.T) {
	_, returned, err := Go(func() (int, error) { panic("no") }).Await(t.Context())
	var panicked *PanicError
	assert.Assert(t, returned && errors.As(err, &panicked))
	assert.Check(t, is.Contains(string(panicked.Stack), "call_test.go"))
	_, ok := Within(time.Minute, func() int { panic("no") })
	assert.Check(t, !ok)
}

func TestWithin(t *testing.T) {
	for _, tc := range []struct {
		name        string
		limit, wait time.Duration
		ok          bool
		after       time.Duration
	}{
		{"in time", time.Minute, time.Second, true, time.Second},
		{"a little late", time.Minute, time.Minute + Grace/2, true, time.Minute + Grace/2},
		{"late", time.Minute, time.Hour, false, time.Minute + Grace},
		{"later than a short limit", Grace / 10, time.Hour, false, Grace / 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				got, ok := Within(tc.limit, func() string { time.Sleep(tc.wait); return "answer" })
				assert.Equal(t, time.Since(began), tc.after)
				assert.Equal(t, ok, tc.ok)
				assert.Equal(t, got == "answer", tc.ok)
				time.Sleep(time.Hour) // the call ends
			})
		})
	}
}

func do(ctx context.Context, lines *Lines[string], key string, f func() (int, error)) error {
	call, err := StartFor(ctx, lines, key, f)
	if err == nil {
		_, _, err = call.Await(ctx)
	}
	return err
}

// TestCallsDoNotPileUp gives up twenty calls behind a call that hangs. Calls of
// another key go on.
func TestCallsDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines Lines[string]
		release := make(chan struct{})
		began := 0
		hang := func() (int, error) { began++; <-release; return began, nil }
		before := runtime.NumGoroutine()
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			assert.Check(t, is.ErrorIs(do(ctx, &lines, "silent", hang), context.DeadlineExceeded))
			cancel()
		}
		synctest.Wait()
		assert.Equal(t, began, 1)
		assert.Equal(t, runtime.NumGoroutine(), before+1)
		assert.NilError(t, do(t.Context(), &lines, "sound", func() (int, error) { return 0, nil }))

		next := make(chan error, 1)
		go func() { next <- do(t.Context(), &lines, "silent", hang) }()
		synctest.Wait()
		assert.Equal(t, began, 1, "two calls for a key")
		close(release)
		assert.NilError(t, <-next)
		synctest.Wait()
		assert.Equal(t, began, 2)
		assert.Equal(t, len(lines.lines), 0, "lines that are idle are kept")
	})
}

// TestLine begins no call for a caller that has left.
func TestLine(t *testing.T) {
	line := NewLine()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Start(gone, line, func() (int, error) { t.Error("it was called"); return 0, nil })
	assert.Equal(t, err, context.Canceled)
	assert.Check(t, !line.Busy())
	assert.NilError(t, line.Idle(t.Context()))

	release := make(chan struct{})
	call, err := Start(t.Context(), line, func() (int, error) { <-release; return 0, nil })
	assert.NilError(t, err)
	assert.Check(t, line.Busy())
	assert.Equal(t, line.Idle(gone), context.Canceled)
	close(release)
	<-call.Done()
	assert.Check(t, !line.Busy())
}
