// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/bounded/boundedtest"
)

// silentServer is a file system that answers to no one while it is silent.
type silentServer struct {
	silent chan struct{} // closed when it answers again
	asked  atomic.Int32
}

// look looks at a place of the host, which is on the mount /.
func (s *silentServer) look(w *watch) (string, error) {
	for _, place := range []string{"/one", "/two"} {
		if err := w.look(place, ""); err != nil {
			return "", err
		}
		s.asked.Add(1)
		<-s.silent
	}
	return "answer", nil
}

// TestOneLookAtASilentMount ends looks at different times. A look in progress is
// always the only one, whichever caller gives it up.
func TestOneLookAtASilentMount(t *testing.T) {
	errGone := errors.New("the client has left")
	synctest.Test(t, func(t *testing.T) {
		s := &silentServer{silent: make(chan struct{})}
		for i := range 20 {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Duration(i+1)*50*time.Millisecond, func() { cancel(errGone) })
			_, err := attend(ctx, hostPatience, s.look)
			assert.Equal(t, err, errGone)
		}
		assert.Equal(t, s.asked.Load(), int32(1))

		// A look that nothing cuts short learns that the mount is silent; those
		// after it are refused at once.
		for _, after := range []time.Duration{hostPatience + bounded.Grace, 0, 0} {
			began := time.Now()
			_, err := attend(t.Context(), hostPatience, s.look)
			var noAnswer *NoAnswerError
			assert.Assert(t, errors.As(err, &noAnswer), "%v", err)
			assert.Equal(t, noAnswer.Mountpoint, "/")
			assert.Equal(t, noAnswer.Path, "/one")
			assert.Equal(t, time.Since(began), after)
		}
		assert.Equal(t, s.asked.Load(), int32(1))

		close(s.silent)
		synctest.Wait()
		answer, err := attend(t.Context(), hostPatience, s.look)
		assert.NilError(t, err)
		assert.Equal(t, answer, "answer")
		assert.Equal(t, len(hostQueue.requests), 0)
	})
}

// TestLooksEndBeforeTheirCallers looks at a silent mount for callers with less time
// than a look may take. Each of them gets the path before its own time ends.
func TestLooksEndBeforeTheirCallers(t *testing.T) {
	for _, limit := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := &silentServer{silent: make(chan struct{})}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			began := time.Now()
			_, err := attend(ctx, hostPatience, s.look)
			var noAnswer *NoAnswerError
			assert.Assert(t, errors.As(err, &noAnswer), "%v", err)
			assert.Equal(t, noAnswer.Path, "/one")
			assert.Equal(t, noAnswer.Mountpoint, "/")
			assert.Check(t, time.Since(began) < limit+bounded.Grace)
			close(s.silent)
			synctest.Wait()
		})
	}
}

// TestLooksJoinOneInFlight begins twenty looks at the same moment. A few hang;
// all others wait, and go on when the mount answers.
func TestLooksJoinOneInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &silentServer{silent: make(chan struct{})}
		results := make(chan error, 20)
		for range cap(results) {
			go func() {
				_, err := attend(t.Context(), hostPatience, s.look)
				results <- err
			}()
		}
		time.Sleep(hostPatience - time.Millisecond)
		assert.Equal(t, s.asked.Load(), int32(abreast))
		close(s.silent)
		for range cap(results) {
			assert.NilError(t, <-results)
		}
	})
}

// TestAnswerOfADaemonThatWasStopped gets an answer a moment after its timeout, as
// after a SIGSTOP of the daemon: the mount is not silent.
func TestAnswerOfADaemonThatWasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &silentServer{silent: make(chan struct{})}
		time.AfterFunc(hostPatience+bounded.Grace/2, func() { close(s.silent) })
		answer, err := attend(t.Context(), hostPatience, s.look)
		assert.NilError(t, err)
		assert.Equal(t, answer, "answer")
	})
}

// TestAnswerThatHasCome ends the context of a look that has returned.
func TestAnswerThatHasCome(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan struct{})
	go func() { <-returned; cancel() }()
	answer, err := attend(ctx, time.Minute, func(*watch) (int, error) {
		defer close(returned)
		return 7, nil
	})
	assert.Check(t, err == nil && answer == 7 || errors.Is(err, context.Canceled), "%v", err)
}

// TestOtherMountsAnswer looks at another mount while one is silent.
func TestOtherMountsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &silentServer{silent: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		defer time.AfterFunc(time.Millisecond, cancel).Stop()
		_, err := attend(ctx, hostPatience, s.look)
		assert.Equal(t, err, context.Canceled)
		began := time.Now()
		_, err = attend(t.Context(), hostPatience, func(w *watch) (int, error) { return 0, w.look("/proc/self", "") })
		assert.NilError(t, err)
		assert.Equal(t, time.Since(began), time.Duration(0))
		close(s.silent)
	})
}

// TestListThatTakesLong reads the list of mounts slowly for one look, because another one
// hangs. A third look returns meanwhile.
func TestListThatTakesLong(t *testing.T) {
	defer func() { hostQueue.mounts.read = mountFinder }()
	synctest.Test(t, func(t *testing.T) {
		s := &silentServer{silent: make(chan struct{})}
		answers, listed := make(chan struct{}), make(chan struct{})
		third := bounded.Go(func() (int, error) {
			return attend(t.Context(), hostPatience, func(w *watch) (int, error) {
				defer func() { <-answers }()
				return 3, w.look("/proc/self", "")
			})
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := attend(ctx, hostPatience, s.look)
		assert.Assert(t, err != nil)

		readings := 0
		hostQueue.mounts.read = func() finder {
			readings++
			<-listed
			return mountFinder()
		}
		look := func() (int, error) {
			return attend(t.Context(), hostPatience, func(w *watch) (int, error) { return 2, w.look("/proc/self", "") })
		}
		second := bounded.Go(look)
		synctest.Wait()
		assert.Equal(t, readings, 1)
		close(answers)
		value, _, err := third.Await(t.Context())
		assert.NilError(t, err)
		assert.Equal(t, value, 3)

		close(listed)
		value, _, err = second.Await(t.Context())
		assert.NilError(t, err)
		assert.Equal(t, value, 2)
		assert.Assert(t, hostQueue.mounts.mountOf == nil, "the list stays in memory")
		close(s.silent)
		synctest.Wait()
		assert.Equal(t, len(hostQueue.requests), 0)
	})
}

// TestThreadsDoNotPileUp cuts real looks at a silent FUSE short, one after the
// other and side by side, and counts the threads that hang in it.
func TestThreadsDoNotPileUp(t *testing.T) {
	dir := boundedtest.TempDir(t)
	boundedtest.Silence(t, dir)
	name := filepath.Join(dir, "null")
	pin := func(limit time.Duration) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(limit, cancel)
		_, err := attend(ctx, hostPatience, func(w *watch) ([]string, error) { return pinsOf(name, w), nil })
		assert.Check(t, is.ErrorIs(err, context.Canceled))
	}
	pin(20 * time.Millisecond)
	before := boundedtest.Hanging(t)
	for range 20 {
		pin(20 * time.Millisecond)
	}
	done := make(chan struct{})
	for range 20 {
		go func() { pin(20 * time.Millisecond); done <- struct{}{} }()
	}
	for range 20 {
		<-done
	}
	assert.Equal(t, before, 1)
	assert.Equal(t, boundedtest.Hanging(t), 1)
}
