// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// unansweredUpload describes a server that did not answer a complete upload. It
// may still process it, so the upload is not sent again.
const unansweredUpload = "did not answer an upload"

// pace measures the time that a server takes to send or receive bytes, and ends
// an exchange with a slow server. It is safe for concurrent use, because a server
// can answer before it has received all of an upload.
type pace struct {
	options Options
	host    string
	cancel  context.CancelCauseFunc

	mu     sync.Mutex
	timer  *time.Timer  // runs in the server's turn
	turn   bool         // the client waits for the server
	began  time.Time    // begin of the turn
	excess StalledError // the error if the turn takes too long
	ended  bool

	// waited and moved are the server's time and its bytes in the current period,
	// which is at least IdleTimeout long.
	waited time.Duration
	moved  int64
}

func newPace(host string, options Options, cancel context.CancelCauseFunc) *pace {
	p := &pace{options: options, host: host, cancel: cancel}
	p.timer = time.AfterFunc(time.Hour, p.expire)
	p.timer.Stop()
	return p
}

// beginTurn begins the server's turn. A turn that lasts as long as bound ends the
// exchange.
func (p *pace) beginTurn(bound time.Duration, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.turn, p.began = true, time.Now()
	p.excess = StalledError{Host: p.host, Timeout: bound, What: what, final: what == unansweredUpload}
	p.timer.Reset(bound)
}

// endTurn ends the server's turn, in which moved bytes were transferred.
func (p *pace) endTurn(moved int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || !p.turn {
		return
	}
	p.turn = false
	p.timer.Stop()
	p.waited += time.Since(p.began)
	p.moved += int64(moved)
	period := p.options.IdleTimeout
	if p.waited < period {
		return
	}
	if p.moved < int64(p.waited.Seconds()*float64(p.options.MinRate)) {
		p.cancel(&StalledError{Host: p.host, Timeout: p.waited.Round(time.Second), What: fmt.Sprintf("moved no more than %d bytes", p.moved)})
	}
	p.waited, p.moved = 0, 0
}

// end stops the clock for good.
func (p *pace) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.timer.Stop()
}

func (p *pace) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	// The timer can have fired before the turn ended, or the next one began.
	if excess := p.excess; !p.ended && p.turn && time.Since(p.began) >= excess.Timeout {
		p.cancel(&excess)
	}
}
