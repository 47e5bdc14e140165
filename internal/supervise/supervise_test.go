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
	unkillable  bool
	dying       time.Duration // how long its end takes to be told

	supervisor *Supervisor
	mu         sync.Mutex
	alive      bool
	starts     int
	ended      int
	trace      []string
	began      time.Time
}

func (p *program) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trace = append(p.trace, fmt.Sprintf(format, args...))
}

func (p *program) Start() error {
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
	if !sleep(ctx, p.readyAfter) {
		return context.Cause(ctx)
	}
	return nil
}

func (p *program) Alive() (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alive || p.immortal, nil
}

func (p *program) Signal(signal syscall.Signal) error {
	p.note("%s at %s", signal, time.Since(p.began))
	if p.dying > 0 {
		return fmt.Errorf("signal p: %w", errdefs.ErrNotFound)
	}
	if p.unkillable || p.ignoresTerm && signal == syscall.SIGTERM {
		return nil
	}
	p.die() // synchronously, as executors may
	return nil
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
		s.Start(t.Context())
		assert.NilError(t, s.First())
		assert.Equal(t, time.Since(p.began), 2*time.Second)
		assert.NilError(t, s.Stop())
		assert.NilError(t, s.Stop(), "twice")
		assert.Equal(t, time.Since(p.began), 2*time.Second, "a process that obeys was waited for")
		assert.Equal(t, p.seen(), "ready at 2s, terminated at 2s")
		assert.Equal(t, p.ended, 1)
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
			func(err error) bool { return errors.Is(err, cause) }, 0, "refuse at 0s"},
		{"exits before it is ready", &program{readyAfter: -1, lives: time.Second},
			func(err error) bool { var e *ExitedError; return errors.As(err, &e) }, time.Second, "refuse at 1s"},
		{"never ready", &program{readyAfter: -1},
			func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }, 15 * time.Second,
			"terminated at 15s, refuse at 15s"},
		{"never ready and deaf", &program{readyAfter: -1, ignoresTerm: true},
			func(err error) bool { var e *NoSocketError; return errors.As(err, &e) }, 25 * time.Second,
			"terminated at 15s, killed at 25s, refuse at 25s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := tc.program
				s := p.supervise(false)
				s.Start(t.Context())
				err := s.First()
				assert.Check(t, tc.want(err), "%v", err)
				assert.Equal(t, time.Since(p.began), tc.after)
				assert.Equal(t, p.seen(), tc.trace)
				<-s.Done()
				assert.Equal(t, p.ended, 1)
				synctest.Wait()
				assert.Equal(t, p.starts, 1)
			})
		})
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
		s.Start(t.Context())
		assert.NilError(t, s.First())
		time.Sleep(5 * time.Minute)
		assert.NilError(t, s.Stop())
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
		s.Start(t.Context())
		time.Sleep(time.Minute)
		assert.NilError(t, s.Stop())
		assert.Equal(t, p.starts, 6)
	})
}

func TestKeepsTryingWhenBootFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("disk not mounted yet")
		p := &program{startErrors: []error{broken, broken, broken}}
		s := p.supervise(true)
		s.Start(t.Context())
		assert.Check(t, is.ErrorIs(s.First(), broken))
		time.Sleep(2 * time.Second)
		assert.Equal(t, p.seen(), "defer at 0s, retry at 0s, defer at 0s, retry at 0s, defer at 0s, retry at 1s, ready at 1s")
		assert.NilError(t, s.Stop())
		assert.Equal(t, p.ended, 4)
	})
}

func TestStopInterrupts(t *testing.T) {
	for _, tc := range []struct {
		name    string
		program *program
		first   error
	}{
		{"a start", &program{readyAfter: -1}, errStop},
		{"a wait", &program{startErrors: []error{nil, errors.New("x"), errors.New("x"), errors.New("x"), errors.New("x")}, lives: time.Nanosecond}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := tc.program
				s := p.supervise(false)
				s.Start(t.Context())
				time.Sleep(time.Second)
				before := time.Now()
				assert.NilError(t, s.Stop())
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

// TestInterruptComesFirst has a stop that overtakes the start, as a Disable may
// an Enable.
func TestInterruptComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{readyAfter: time.Second}
		s := p.supervise(false)
		s.Interrupt()
		s.Start(t.Context())
		assert.Equal(t, s.First(), errStop)
		<-s.Done()
		assert.Equal(t, p.starts, p.ended)
		assert.Equal(t, time.Since(p.began), time.Duration(0))
	})
}

func TestEndOfContextStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{}
		s := p.supervise(false)
		ctx, cancel := context.WithCancel(t.Context())
		s.Start(ctx)
		assert.NilError(t, s.First())
		cancel()
		<-s.Done()
		assert.Equal(t, p.seen(), "ready at 0s, terminated at 0s")
	})
}

func TestStopEscalates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{ignoresTerm: true}
		s := p.supervise(false)
		s.Start(t.Context())
		assert.NilError(t, s.First())
		assert.NilError(t, s.Stop())
		assert.Equal(t, p.seen(), "ready at 0s, terminated at 0s, killed at 10s")

		p = &program{unkillable: true}
		s = p.supervise(false)
		s.Start(t.Context())
		var stuck *StuckError
		assert.Assert(t, errors.As(s.Stop(), &stuck))
		assert.Equal(t, time.Since(p.began), 20*time.Second)
	})
}

// TestStopOfADyingProcess stops one that has ended, of which the executor is
// still collecting the output.
func TestStopOfADyingProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{dying: time.Second}
		s := p.supervise(false)
		s.Start(t.Context())
		assert.NilError(t, s.First())
		time.AfterFunc(p.dying, p.die)
		assert.NilError(t, s.Stop())
		assert.Equal(t, p.seen(), "ready at 0s, terminated at 0s")
		assert.Equal(t, time.Since(p.began), p.dying)

		// One that is said to live and to be gone, for ever, is gone.
		p = &program{dying: time.Second, immortal: true}
		s = p.supervise(false)
		s.Start(t.Context())
		assert.NilError(t, s.Stop())
		assert.Equal(t, time.Since(p.began), 10*time.Second)
	})
}

func TestImmortalFakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{immortal: true}
		s := p.supervise(false)
		s.Start(t.Context())
		assert.NilError(t, s.First())
		s.Exited() // late, about an earlier run
		synctest.Wait()
		synctest.Wait()
		assert.Equal(t, p.starts, 1)
		assert.NilError(t, s.Stop())
		assert.Equal(t, time.Since(p.began), time.Duration(0), "the report was not believed while stopping")
	})
}

func TestAdopt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{alive: true}
		s := p.supervise(true)
		s.Adopt(t.Context())
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

func TestAdoptOneThatDiedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{}
		s := p.supervise(true)
		s.Exited()
		s.Adopt(t.Context())
		var exited *ExitedError
		assert.Check(t, errors.As(s.First(), &exited))
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, p.starts, 1)
		assert.NilError(t, s.Stop())
	})
}
