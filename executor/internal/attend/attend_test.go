// SPDX-License-Identifier: Apache-2.0

package attend

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"
)

func TestOneCallForAnID(t *testing.T) {
	c := New(t.Context())
	leave, err := c.Enter("a")
	assert.NilError(t, err)
	_, err = c.Enter("a")
	assert.Equal(t, err, ErrBusy)
	leaveOther, err := c.Enter("b")
	assert.NilError(t, err)
	leaveOther()
	leave()
	leave, err = c.Enter("a")
	assert.NilError(t, err)
	leave()
	assert.Equal(t, len(c.Close(t.Context())), 0)
	_, err = c.Enter("a")
	assert.Equal(t, err, ErrClosed)
	assert.Equal(t, context.Cause(c.Context()), ErrClosed)
}

func TestCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(t.Context())
		for _, id := range []string{"b", "a"} {
			_, err := c.Enter(id)
			assert.NilError(t, err)
		}
		limit, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.DeepEqual(t, c.Close(limit), []string{"a", "b"})
	})
}

// Each case is a start with a duration and a result, and the expected calls.
func TestTry(t *testing.T) {
	failed := errors.New("failed")
	tests := []struct {
		name   string
		takes  time.Duration
		err    error
		undone bool // whether there is something to undo
		want   []string
	}{
		{"in time", 1, nil, true, []string{"run"}},
		{"in time and without a run to undo", 1, nil, false, []string{"run"}},
		{"failed", 1, failed, false, []string{"left", "failed"}},
		{"failed and left something", 1, failed, true, []string{"failed", "undone", "left"}},
		{"late", 3, nil, true, []string{"late", "undone", "left"}},
		{"late and without a run", 3, nil, false, []string{"late", "left"}},
		{"failed late", 3, failed, false, []string{"late", "left"}},
		{"failed late and left something", 3, failed, true, []string{"late", "undone", "left"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				happened := make(chan string, 10)
				overdue, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				run, ok, err := Try(overdue, func() { happened <- "left" }, func() Started[int] {
					time.Sleep(test.takes * time.Second)
					s := Started[int]{Run: 7, Err: test.err}
					if test.undone {
						s.Undo = func() { happened <- "undone" }
					}
					return s
				})
				switch {
				case !ok:
					happened <- "late"
				case err != nil:
					happened <- "failed"
				default:
					assert.Equal(t, run, 7)
					happened <- "run"
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				var got []string
				for len(happened) > 0 {
					got = append(got, <-happened)
				}
				sameIgnoringRaces(t, got, test.want)
			})
		})
	}
}

// sameIgnoringRaces compares events. The order of events of the caller and of the
// goroutine is ignored, except that undone comes before left.
func sameIgnoringRaces(t *testing.T, got, want []string) {
	t.Helper()
	assert.Equal(t, len(got), len(want), "%q", got)
	for _, what := range want {
		found := 0
		for _, other := range got {
			if what == other {
				found++
			}
		}
		assert.Equal(t, found, 1, "%s in %q", what, got)
	}
	if len(got) == 3 {
		assert.Assert(t, indexOf(got, "undone") < indexOf(got, "left"), "%q", got)
	}
}

func indexOf(all []string, what string) int {
	for i, other := range all {
		if what == other {
			return i
		}
	}
	return -1
}

func TestContexts(t *testing.T) {
	lasts := func(ctx context.Context) time.Duration {
		began := time.Now()
		<-ctx.Done()
		return time.Since(began)
	}
	synctest.Test(t, func(t *testing.T) {
		c := New(t.Context())
		ctx, cancel := c.Lasting(10*time.Second, time.Second)
		assert.Equal(t, lasts(ctx), 10*time.Second)
		cancel()

		call, cancelCall := context.WithTimeout(c.Context(), 3*time.Second)
		grace, cancel := c.Grace(call, 10*time.Second, time.Second)
		assert.Equal(t, lasts(grace), 13*time.Second)
		cancel()
		cancelCall()

		ctx, cancel = c.Lasting(10*time.Second, time.Second)
		call, cancelCall = context.WithTimeout(c.Context(), 3*time.Second)
		grace, cancelGrace := c.Grace(call, 10*time.Second, time.Second)
		c.Close(t.Context())
		assert.Equal(t, lasts(ctx), time.Second)
		assert.Equal(t, lasts(grace), time.Duration(0), "both ended at once")
		cancel()
		cancelGrace()
		cancelCall()
	})
}

// begun is a run that reports its begin.
type begun struct{ happened chan<- string }

func (r *begun) Begin(io.WriteCloser, io.WriteCloser) { r.happened <- "begun" }

type stream struct{ happened chan<- string }

func (stream) Write(p []byte) (int, error) { return len(p), nil }

func (s stream) Close() error {
	s.happened <- "closed"
	return nil
}

// Each case is the duration and the result of a start, and the expected events.
func TestPerform(t *testing.T) {
	tests := []struct {
		name  string
		takes time.Duration
		run   bool
		err   error
		want  []string
	}{
		{"a run", 1, true, nil, []string{"begun"}},
		{"no run", 1, false, nil, []string{"closed", "closed"}},
		{"an error", 1, false, errors.New("failed"), []string{"closed", "closed", "failed"}},
		{"a run in time to undo it", 6, true, nil, []string{"begun"}},
		{"a late run", 9, true, nil, []string{"closed", "closed", "it hangs: no answer within 5s", "undone"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, happened := New(t.Context()), make(chan string, 10)
				alive, err := Perform(c, Call[*begun]{
					ID: "a", Stdout: stream{happened}, Stderr: stream{happened},
					Start: func(context.Context) (s Started[*begun]) {
						time.Sleep(test.takes * time.Second)
						if s.Err = test.err; test.run {
							s.Run = &begun{happened}
							s.Undo = func() { happened <- "undone" }
						}
						return s
					},
					Limit: 5 * time.Second, Grace: 3 * time.Second, ClosedGrace: time.Second,
					Hangs: "it hangs",
				})
				if err != nil {
					happened <- err.Error()
				}
				assert.Equal(t, alive, test.want[0] == "begun")
				time.Sleep(10 * time.Second)
				synctest.Wait()
				var got []string
				for len(happened) > 0 {
					got = append(got, <-happened)
				}
				assert.DeepEqual(t, got, test.want)
				leave, err := c.Enter("a")
				assert.NilError(t, err)
				leave()
			})
		})
	}
}

// A second call for an ID, and a call after Close, close their streams.
func TestPerformIsRefused(t *testing.T) {
	c, happened := New(t.Context()), make(chan string, 10)
	perform := func() error {
		_, err := Perform(c, Call[*begun]{ID: "a", Stdout: stream{happened}, Stderr: stream{happened}})
		return err
	}
	leave, err := c.Enter("a")
	assert.NilError(t, err)
	assert.ErrorIs(t, perform(), ErrBusy)
	leave()
	c.Close(t.Context())
	assert.ErrorIs(t, perform(), ErrClosed)
	assert.Equal(t, len(happened), 4)
}
