package engineapi

import (
	"fmt"
	"time"
)

const (
	// patience is how long a client may be silent while it is waited for.
	patience = time.Minute
	// leastRate, in bytes a second, is what a client must send or take on
	// average, once it has used up its patience. The slowest modem did more.
	leastRate = 1 << 10
)

// pace bounds how long a client may keep its handler waiting. Time counts only
// while the handler waits for the client: how long a request takes as a whole
// has no bound, because a build context may be large, and a start slow.
//
// The zero value asks for leastRate, beyond a first minute. It is not safe for
// concurrent use.
type pace struct {
	// altogether takes what moves for no excuse: patience is all there is.
	altogether bool

	waited time.Duration
	moved  int64
}

// left is how long the next wait may be.
func (p *pace) left() time.Duration {
	left := patience - p.waited
	if !p.altogether {
		left += time.Duration(p.moved/leastRate) * time.Second
	}
	return min(left, patience)
}

// waitedFor counts a wait that began then and moved n bytes.
func (p *pace) waitedFor(began time.Time, n int) {
	p.waited += time.Since(began)
	p.moved += int64(n)
}

// complaint says what was wrong with a client whose time is up, and what the
// last wait, which began then, had to do with it.
func (p *pace) complaint(began time.Time) string {
	switch {
	case time.Since(began) >= patience:
		return fmt.Sprintf("the client sent nothing for %s", patience)
	case p.altogether:
		return fmt.Sprintf("the client took more than %s", patience)
	}
	return fmt.Sprintf("the client sends less than %d bytes a second", leastRate)
}
