// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/bounded"
)

// paused is a program in a daemon that is stopped during one call, for longer than
// all limits of a stop.
type paused struct {
	*program
	at    int64 // the number of the call
	calls atomic.Int64
	kills atomic.Int64 // calls of Signal with SIGKILL
}

const pause = 20*time.Second + bounded.Grace/2 // StopTimeout and killTimeout are over

func (p *paused) pause() {
	if p.calls.Add(1) == p.at {
		time.Sleep(pause)
	}
}

func (p *paused) Restore() (bool, error) { p.pause(); return p.program.Restore() }
func (p *paused) Alive() (bool, error)   { p.pause(); return p.program.Alive() }
func (p *paused) CanTell() bool          { p.pause(); return p.program.CanTell() }

func (p *paused) Signal(signal syscall.Signal) error {
	if signal == syscall.SIGKILL {
		p.kills.Add(1)
	}
	p.pause()
	return p.program.Signal(signal)
}

// TestStopAfterAPause stops a process that ignores SIGTERM. The daemon is stopped in
// each of the calls, one after the other. SIGKILL is sent all the same, in the same
// attempt unless that attempt has failed before, and no error names a SIGKILL that
// was not sent.
func TestStopAfterAPause(t *testing.T) {
	reached := true
	for at := int64(1); reached; at++ {
		synctest.Test(t, func(t *testing.T) {
			p := &paused{program: &program{alive: true, ignoresTerm: true}, at: at}
			s := p.supervise(false)
			s.Process = p
			s.End()
			err := s.Stop(t.Context())
			if err != nil {
				assert.Check(t, p.kills.Load() > 0 || !strings.Contains(err.Error(), "killed"), "call %d: %v", at, err)
				assert.Check(t, !strings.Contains(err.Error(), "terminated"), "call %d ended the attempt: %v", at, err)
				time.Sleep(2 * pause)
				assert.Check(t, s.Stop(t.Context()))
			}
			assert.Check(t, strings.Contains(p.seen(), "killed"), "call %d: %s", at, p.seen())
			assert.Check(t, !p.alive, "call %d: %s", at, p.seen())
			reached = p.calls.Load() >= at
			assert.Check(t, reached || at > 4, "%d calls", at)
			time.Sleep(time.Hour)
		})
	}
}
