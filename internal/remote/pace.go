package remote

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// unansweredUpload is what a server did that has all of an upload. It may be
// busy with it still: the upload is not sent again.
const unansweredUpload = "did not answer an upload"

// pace measures the time in which a server has to send or to take bytes, and
// ends an exchange that it makes too long. It is safe for concurrent use: a
// server can answer while it is still sent an upload.
type pace struct {
	options Options
	host    string
	cancel  context.CancelCauseFunc

	mu     sync.Mutex
	timer  *time.Timer  // runs in the server's turn
	turn   bool         // it is the server's
	began  time.Time    // the turn
	excess StalledError // the error of a turn that is too long
	ended  bool

	// waited and moved are what the server took and brought in the current
	// period, which is at least IdleTimeout long.
	waited time.Duration
	moved  int64
}

func newPace(host string, options Options, cancel context.CancelCauseFunc) *pace {
	p := &pace{options: options, host: host, cancel: cancel}
	p.timer = time.AfterFunc(time.Hour, p.expire)
	p.timer.Stop()
	return p
}

// theirs begins the server's turn, which ends the exchange when it lasts as
// long as bound.
func (p *pace) theirs(bound time.Duration, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.turn, p.began = true, time.Now()
	p.excess = StalledError{Host: p.host, Timeout: bound, What: what, final: what == unansweredUpload}
	p.timer.Reset(bound)
}

// ours ends the server's turn, in which so many bytes were moved.
func (p *pace) ours(moved int) {
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
	if p.moved < int64(p.waited.Seconds()*float64(p.options.LeastRate)) {
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
