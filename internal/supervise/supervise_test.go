// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/lifecycle"
)

// program is a process that follows a script, in virtual time.
type program struct {
	startErrors []error       // of the first starts
	readyAfter  time.Duration // negative: never
	lives       time.Duration // zero: until stopped
	ignoresTerm bool
	immortal    bool // as seen by Alive, as fakes people have are
	fake        bool // Alive and Signal are worth nothing: every ID lives, each end is reported once
	unkillable  bool
	dying       time.Duration // until its end is reported

	restoreErrors []error // of the first looks at what an earlier manager left

	supervisor *Supervisor
	mu         sync.Mutex
	alive      bool
	restores   int
	starts     int
	ended      int
	stopped    int
	trace      []string
	began      time.Time
}

func (p *program) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trace = append(p.trace, fmt.Sprintf(format, args...))
}

func (p *program) Restore() (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.restores++
	if len(p.restoreErrors) > 0 {
		err := p.restoreErrors[0]
		p.restoreErrors = p.restoreErrors[1:]
		return false, err
	}
	return p.alive, nil
}

func (p *program) CanTell() bool { return !p.fake }

func (p *program) Stopped() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped++
}

func (p *program) Start(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starts++
	if len(p.startErrors) > 0 {
		err := p.startErrors[0]
		p.startErrors = p.startErrors[1:]
		if err != nil {
			return err
		}
	}
	p.alive = true
	if p.lives > 0 {
		time.AfterFunc(p.lives, p.die)
	}
	return nil
}

func (p *program) die() {
	p.mu.Lock()
	p.alive = false
	p.mu.Unlock()
	p.supervisor.Exited()
	p.supervisor.Exited() // reports come twice
}

func (p *program) Ready(ctx context.Context) error {
	if p.readyAfter < 0 {
		<-ctx.Done()
		return &NoSocketError{Name: "p.sock", Err: context.Cause(ctx)}
	}
	timer := time.NewTimer(p.readyAfter)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *program) Alive() (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alive || p.immortal || p.fake, nil
}

func (p *program) Signal(signal syscall.Signal) error {
	p.note("%s at %s", signal, time.Since(p.began))
	p.mu.Lock()
	dying, ignores := p.dying > 0, p.unkillable || p.ignoresTerm && signal == syscall.SIGTERM
	p.mu.Unlock()
	if dying {
		return fmt.Errorf("signal p: %w", errdefs.ErrNotFound)
	}
	if ignores {
		return nil
	}
	p.die() // synchronously, as executors may
	return nil
}

func (p *program) count(calls *int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *calls
}

func (p *program) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *program) Ended() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended++
}

func (p *program) supervise(keepTrying bool) *Supervisor {
	p.began = time.Now()
	p.supervisor = New(Config{
		Process: p, StartTimeout: 15 * time.Second, StopTimeout: 10 * time.Second,
		Backoff: 100 * time.Millisecond, KeepTrying: keepTrying,
		Changed: func(event lifecycle.Event, err error, wait time.Duration) {
			p.note("%s at %s", event, time.Since(p.began).Round(time.Second))
		},
	})
	return p.supervisor
}

func (p *program) seen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.trace, ", ")
}

func TestStartReadyStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{readyAfter: 2 * time.Second}
		s := p.supervise(false)
		s.Start()
		assert.NilError(t, s.First())
		assert.Equal(t, time.Since(p.began), 2*time.Second)
		assert.NilError(t, s.Stop(t.Context()))
		assert.NilError(t, s.Stop(t.Context()), "twice")
		assert.Equal(t, time.Since(p.began), 2*time.Second, "a process that obeys was waited for")
		assert.Equal(t, p.seen(), "ready at 2s, terminated at 2s, stopped at 2s")
		assert.Equal(t, p.ended, 1)
		assert.Equal(t, p.stopped, 1)
	})
}

func TestFirstStartFails(t *testing.T) {
	cause := errors.New("no such entrypoint")
	for _, tc := range []struct {
		name    string
		program *program
		want    func(err error) bool
		after   time.Duration
		trace   string
	}{
		{"create", &program{startErrors: []error{cause}},
			func(err error) bool { return errors.Is(err, cause) }, 0, "refuse at 0s, stopped at 0s"},
		{"exits before it is ready", &program{readyAfter: -1, lives: time.Second},
			func(err error) bool { var e *ExitedError; return errors.As(err, &e) }, time.Second, "refuse at 1s, stopped at 1s"},
		{"never ready", &program{readyAfter: -1},
			func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }, 15 * time.Second,
			"killed at 15s, refuse at 15s, stopped at 15s"},
		{"never ready and deaf", &program{readyAfter: -1, ignoresTerm: true},
			func(err error) bool { var e *NoSocketError; return errors.As(err, &e) }, 15 * time.Second,
			"killed at 15s, refuse at 15s, stopped at 15s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := tc.program
				s := p.supervise(false)
				s.Start()
				err := s.First()
				assert.Check(t, tc.want(err), "%v", err)
				assert.Equal(t, time.Since(p.began), tc.after)
				assert.Equal(t, p.seen(), tc.trace)
				<-s.done
				assert.Equal(t, p.ended, 1)
				synctest.Wait()
				assert.Equal(t, p.starts, 1)
			})
		})
	}
}

// vanishing is a process whose directory of sockets disappears as it ends: Ready
// fails, and the end is reported after a delay; a negative one is before.
type vanishing struct {
	*program
	report time.Duration
}

var errVanished = errors.New("lstat: no such directory")

func (v vanishing) Ready(context.Context) error {
	v.set(func() { v.alive = false })
	if v.report < 0 {
		v.supervisor.Exited()
	} else {
		time.AfterFunc(v.report, v.supervisor.Exited)
	}
	return errVanished
}

// TestAnExitIsTheReason: a process that ended before it was ready is reported as
// ended, whenever its end is reported and whatever Ready returns.
func TestAnExitIsTheReason(t *testing.T) {
	for _, report := range []time.Duration{-1, 0, time.Millisecond} {
		for range 20 { // which of two events comes first is random
			synctest.Test(t, func(t *testing.T) {
				p := &program{}
				s := p.supervise(false)
				s.Process = vanishing{p, report}
				s.Start()
				var exited *ExitedError
				assert.Check(t, errors.As(s.First(), &exited), "reported after %s: %v", report, s.First())
				<-s.done
				time.Sleep(time.Second)
				assert.Equal(t, p.starts, p.ended)
			})
		}
	}
}

func TestRestartsWithDoublingWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{lives: time.Millisecond}
		var waits []time.Duration
		s := p.supervise(false)
		s.Changed = func(event lifecycle.Event, err error, wait time.Duration) {
			if event == lifecycle.Exit {
				waits = append(waits, wait)
			}
		}
		s.Start()
		assert.NilError(t, s.First())
		time.Sleep(5 * time.Minute)
		assert.NilError(t, s.Stop(t.Context()))
		assert.Check(t, len(waits) > 15)
		full := 100 * time.Millisecond
		for i, wait := range waits {
			assert.Check(t, wait <= full && wait >= full*4/5, "wait %d is %s of %s", i, wait, full)
			full = min(2*full, 30*time.Second)
		}
		assert.Equal(t, p.starts, p.ended, "a run was not released")
	})
}

func TestUptimeResetsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{lives: 11 * time.Second}
		s := p.supervise(false)
		s.Changed = func(event lifecycle.Event, err error, wait time.Duration) {
			assert.Check(t, wait <= 100*time.Millisecond, "%s waits %s", event, wait)
		}
		s.Start()
		time.Sleep(time.Minute)
		assert.NilError(t, s.Stop(t.Context()))
		assert.Equal(t, p.starts, 6)
	})
}

func TestKeepsTryingWhenBootFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("disk not mounted yet")
		p := &program{startErrors: []error{broken, broken, broken}}
		s := p.supervise(true)
		s.Start()
		assert.Check(t, is.ErrorIs(s.First(), broken))
		time.Sleep(2 * time.Second)
		assert.Equal(t, p.seen(), "defer at 0s, retry at 0s, defer at 0s, retry at 0s, defer at 0s, retry at 1s, ready at 1s")
		assert.NilError(t, s.Stop(t.Context()))
		assert.Equal(t, p.ended, 4)
	})
}

func TestStopInterrupts(t *testing.T) {
	for _, tc := range []struct {
		name    string
		program *program
		first   error
	}{
		{"a start", &program{readyAfter: -1}, errStopped},
		{"a wait", &program{startErrors: []error{nil, errors.New("x"), errors.New("x"), errors.New("x"), errors.New("x")}, lives: time.Nanosecond}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := tc.program
				s := p.supervise(false)
				s.Start()
				time.Sleep(time.Second)
				before := time.Now()
				assert.NilError(t, s.Stop(t.Context()))
				assert.Equal(t, time.Since(before), time.Duration(0))
				assert.Equal(t, s.First(), tc.first)
				synctest.Wait()
				assert.Equal(t, p.starts, p.ended)
				alive, _ := p.Alive()
				assert.Check(t, !alive)
			})
		})
	}
}

// TestInterruptComesFirst interrupts before the start, as a Disable can overtake an
// Enable.
func TestInterruptComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{readyAfter: time.Second}
		s := p.supervise(false)
		cause := errors.New("a disable")
		assert.Check(t, s.Interrupt(cause))
		s.Start()
		assert.Equal(t, s.First(), cause)
		<-s.done
		assert.Equal(t, p.starts, p.ended)
		assert.Equal(t, time.Since(p.began), time.Duration(0))
	})
}

func TestStopEscalates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{ignoresTerm: true}
		s := p.supervise(false)
		s.Start()
		assert.NilError(t, s.First())
		assert.NilError(t, s.Stop(t.Context()))
		assert.Equal(t, p.seen(), "ready at 0s, terminated at 0s, killed at 10s, stopped at 10s")

		p = &program{unkillable: true}
		s = p.supervise(false)
		s.Start()
		assert.NilError(t, s.First())
		var stuck *StuckError
		assert.Assert(t, errors.As(s.Stop(t.Context()), &stuck))
		assert.Equal(t, time.Since(p.began), 20*time.Second)
		p.set(func() { p.unkillable = false })
		assert.NilError(t, s.Stop(t.Context()), "a stop that failed can't be retried")
		assert.Equal(t, time.Since(p.began), 20*time.Second)
		assert.Equal(t, p.stopped, 1)
	})
}

// TestStopOfADyingProcess stops a process that has ended while the executor still
// collects its output.
func TestStopOfADyingProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{dying: time.Second}
		s := p.supervise(false)
		s.Start()
		assert.NilError(t, s.First())
		time.AfterFunc(p.dying, p.die)
		assert.NilError(t, s.Stop(t.Context()))
		assert.Equal(t, p.seen(), "ready at 0s, terminated at 0s, stopped at 1s")
		assert.Equal(t, time.Since(p.began), p.dying)

		// A process that Alive reports and Signal does not find is gone.
		p = &program{dying: time.Second, immortal: true}
		s = p.supervise(false)
		s.Start()
		assert.NilError(t, s.First())
		assert.NilError(t, s.Stop(t.Context()))
		assert.Equal(t, time.Since(p.began), 10*time.Second)
	})
}

func TestImmortalFakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{immortal: true}
		s := p.supervise(false)
		s.Start()
		assert.NilError(t, s.First())
		s.Exited() // late, about an earlier run
		synctest.Wait()
		synctest.Wait()
		assert.Equal(t, p.starts, 1)
		assert.NilError(t, s.Stop(t.Context()))
		assert.Equal(t, time.Since(p.began), time.Duration(0), "the report was not believed while stopping")
	})
}

func TestAdopt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{alive: true}
		s := p.supervise(true)
		s.Recover(true)
		assert.NilError(t, s.First())
		assert.Equal(t, p.starts, 0)
		p.die()
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, p.starts, 1)
		s.Detach()
		alive, _ := p.Alive()
		assert.Check(t, alive, "detaching stopped the process")
		assert.Equal(t, p.seen(), "ready at 0s, exit at 0s, retry at 0s, ready at 0s")
	})
}

func TestRecoverAProcessThatHasDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{}
		s := p.supervise(true)
		s.Exited()
		s.Recover(true)
		assert.NilError(t, s.First())
		assert.Equal(t, p.starts, 1)
		assert.NilError(t, s.Stop(t.Context()))
		assert.Equal(t, p.ended, 2, "what is left of the dead run was not released")
	})
}

// TestRestoreIsRetried takes over a process while the executor does not answer
// yet: no second process is started, and the first is not killed.
func TestRestoreIsRetried(t *testing.T) {
	away := errors.New("containerd is restarting")
	for _, keep := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			p := &program{alive: true, restoreErrors: []error{away, away, away, away, away, away}}
			s := p.supervise(true)
			s.Recover(keep)
			assert.Check(t, is.ErrorIs(s.First(), away))
			assert.Equal(t, p.count(&p.starts), 0)
			time.Sleep(11 * time.Second)
			assert.Equal(t, p.count(&p.restores), 7)
			if keep {
				assert.Equal(t, p.count(&p.starts), 0, "the process that lives was replaced")
				assert.Check(t, !strings.Contains(p.seen(), "terminated"))
			} else {
				assert.Equal(t, p.count(&p.starts), 1)
				assert.Check(t, strings.Contains(p.seen(), "terminated"), "a second process was started")
			}
			assert.Check(t, strings.Contains(p.seen(), "ready at"), p.seen())
			assert.NilError(t, s.Stop(t.Context()))
		})
	}
}

// TestEndOfWhatWasLeft ends the process of an earlier manager, whose executor
// does not answer at first.
func TestEndOfWhatWasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{alive: true, restoreErrors: []error{errors.New("away"), errors.New("away")}}
		s := p.supervise(false)
		s.End()
		var stuck *StuckError
		assert.Check(t, errors.As(s.Stop(t.Context()), &stuck), "it is not known whether the process lives")
		time.Sleep(time.Second)
		assert.NilError(t, s.Stop(t.Context()))
		alive, _ := p.Alive()
		assert.Check(t, !alive)
		assert.Equal(t, p.starts, 0)
		assert.Equal(t, p.stopped, 1)
	})
}

// TestForeignReportsDuringAStop reports an exit of a process that lives and
// takes its time to obey. It gets SIGKILL before its end is believed.
func TestForeignReportsDuringAStop(t *testing.T) {
	for _, alwaysTrue := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := &program{ignoresTerm: true, fake: alwaysTrue}
			s := p.supervise(false)
			s.Start()
			assert.NilError(t, s.First())
			time.AfterFunc(time.Second, s.Exited)
			assert.NilError(t, s.Stop(t.Context()))
			p.set(func() { assert.Check(t, !p.alive, "a process that lives was said to be gone") })
			assert.Equal(t, p.seen(), "ready at 0s, terminated at 0s, killed at 1s, stopped at 1s")
		})
	}
}
