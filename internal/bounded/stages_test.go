// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func TestFinish(t *testing.T) {
	sleep := func(d time.Duration) func(context.Context) error {
		return IgnoringContext(func() error { time.Sleep(d); return nil })
	}
	for _, tc := range []struct {
		name   string
		stages func(*Stages)
		after  time.Duration
		want   []string // in the error
	}{
		{"all end", func(s *Stages) {
			s.Do(5*time.Second, "one", sleep(time.Second))
			s.Do(5*time.Second, "two", sleep(2*time.Second))
		}, 3 * time.Second, nil},
		{"a stage fails", func(s *Stages) {
			s.Do(5*time.Second, "one", IgnoringContext(func() error { return errors.New("no") }))
			s.Do(5*time.Second, "two", sleep(2*time.Second))
		}, 2 * time.Second, []string{"one: no"}},
		{"a stage hangs", func(s *Stages) {
			s.Do(5*time.Second, "one", sleep(time.Hour))
			s.Do(5*time.Second, "two", sleep(2*time.Second))
		}, 5*time.Second + Grace + 2*time.Second, []string{"one: it did not end in time"}},
		{"each stage hangs", func(s *Stages) {
			for _, name := range []string{"one", "two", "three", "four", "five", "six"} {
				s.Do(5*time.Second, name, sleep(time.Hour))
			}
		}, 20 * time.Second, []string{"one: it did", "two: it did", "three: it did", "four: it did"}},
		{"what is between stages hangs", func(s *Stages) {
			s.Do(5*time.Second, "one", sleep(time.Second))
			time.Sleep(time.Hour)
		}, 20 * time.Second, []string{"after one: it did not end in time"}},
		{"a stage panics", func(s *Stages) {
			s.Do(5*time.Second, "one", func(context.Context) error { panic("no") })
			s.Do(5*time.Second, "two", sleep(time.Second))
		}, time.Second, []string{"one: panic: no"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				err := Finish(20*time.Second, tc.stages)
				assert.Equal(t, time.Since(began), tc.after)
				assert.Equal(t, err == nil, tc.want == nil)
				for _, text := range tc.want {
					assert.Check(t, is.ErrorContains(err, text))
				}
				time.Sleep(24 * time.Hour) // what is left ends
			})
		})
	}
}

// TestFinishSeesTheEnd ends many shutdowns in time, at different moments of the
// scheduler. None is reported as left.
func TestFinishSeesTheEnd(t *testing.T) {
	for range 20_000 {
		err := Finish(time.Hour, func(s *Stages) {
			s.Do(time.Hour, "one", IgnoringContext(func() error { return nil }))
		})
		assert.NilError(t, err)
	}
}

// TestFinishBeginsEachStage leaves a stage at the deadline. The next stage follows.
func TestFinishBeginsEachStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := false
		err := Finish(20*time.Second, func(s *Stages) {
			s.Do(time.Hour, "hang", func(context.Context) error { time.Sleep(24 * time.Hour); return nil })
			s.Do(time.Second, "release", IgnoringContext(func() error { released = true; return nil }))
		})
		assert.ErrorContains(t, err, "hang: it did not end in time")
		synctest.Wait()
		assert.Check(t, released)
		time.Sleep(24 * time.Hour)
	})
}
