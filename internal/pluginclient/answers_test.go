// SPDX-License-Identifier: Apache-2.0

package pluginclient

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// stalling is the body of an answer that goes on once more is closed, and fails
// if fails is set.
type stalling struct {
	io.Reader
	more  <-chan struct{}
	fails error
}

func (s *stalling) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err == nil {
		return n, nil
	}
	<-s.more
	if s.fails != nil {
		return 0, s.fails
	}
	return 0, err
}

func (s *stalling) Close() error { return nil }

// answersOf counts answers that are read.
type answersOf struct {
	all    chan struct{}
	handed atomic.Int32 // answers with all their text handed to the caller
	read   atomic.Int32 // answers that have ended
}

// call reads an answer, which ends or fails when more is closed.
func (a *answersOf) call(ctx context.Context, room Room, text string, more <-chan struct{}, fails error) {
	body := newBoundedAnswer(ctx, &stalling{strings.NewReader(text), more, fails}, "A.B", MaxAnswer, Options{Room: room, TooLong: tooLong})
	defer body.Close()
	if _, err := io.ReadFull(body, make([]byte, len(text))); err != nil {
		return
	}
	a.handed.Add(1)
	_, _ = io.ReadAll(body)
	a.read.Add(1)
}

// TestLongAnswersShareRoom counts the answers that callers hold while plugins stall
// before the end of their answers.
func TestLongAnswersShareRoom(t *testing.T) {
	long, items := strings.Repeat("x", shortAnswer+1), strings.Repeat(",", shortAnswerItems+1)
	for _, tc := range []struct {
		name    string
		text    string
		plugins int
		calls   int // of each plugin
		fails   error
		want    int // answers in flight
	}{
		{"short", strings.Repeat(",", shortAnswerItems), 8, 10, nil, 80},
		{"long", long, 8, 10, nil, MaxLongAnswers},
		{"of many values", items, 8, 10, nil, MaxLongAnswers},
		{"long, of one plugin", long, 1, 10, nil, 1},
		{"long and failing", long, 8, 10, errors.New("reset"), MaxLongAnswers},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := answersOf{all: make(chan struct{}, MaxLongAnswers)}
				more := make(chan struct{})
				for range tc.plugins {
					room := NewRoom(a.all)
					for range tc.calls {
						go a.call(t.Context(), room, tc.text, more, tc.fails)
					}
				}
				synctest.Wait()
				assert.Check(t, is.Equal(int(a.handed.Load()), tc.want))
				close(more)
				synctest.Wait()
				assert.Check(t, is.Equal(int(a.read.Load()), tc.plugins*tc.calls))
				assert.Check(t, is.Len(a.all, 0), "room was not given back")
			})
		})
	}
}

// TestLongAnswersWaitAsLongAsTheirCalls ends calls that wait for room, which
// leaves it to others.
func TestLongAnswersWaitAsLongAsTheirCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := answersOf{all: make(chan struct{}, 1)}
		more := make(chan struct{})
		long := strings.Repeat("x", shortAnswer+1)
		first, second := NewRoom(a.all), NewRoom(a.all)
		go a.call(t.Context(), first, long, more, nil)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		_, err := io.ReadAll(newBoundedAnswer(ctx, io.NopCloser(strings.NewReader(long)), "A.B", MaxAnswer, Options{Room: second, TooLong: tooLong}))
		assert.Check(t, is.ErrorIs(err, context.DeadlineExceeded))
		assert.Check(t, is.ErrorContains(err, "call A.B: wait until other long answers are read"))
		assert.Check(t, is.Equal(time.Since(began), time.Minute))

		waits := newBoundedAnswer(t.Context(), io.NopCloser(strings.NewReader(long)), "A.B", MaxAnswer, Options{Room: second, TooLong: tooLong})
		read := make(chan error, 1)
		go func() {
			_, err := io.ReadAll(waits)
			read <- err
		}()
		synctest.Wait()
		assert.NilError(t, waits.Close())
		assert.Check(t, is.ErrorIs(<-read, context.Canceled))
		assert.NilError(t, waits.Close())

		close(more)
		synctest.Wait()
		assert.Check(t, is.Len(a.all, 0))
		_, err = io.ReadAll(newBoundedAnswer(t.Context(), io.NopCloser(strings.NewReader(long)), "A.B", MaxAnswer, Options{Room: second, TooLong: tooLong}))
		assert.NilError(t, err)
	})
}
