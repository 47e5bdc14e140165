// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"fmt"
	"time"
)

const (
	// patience bounds the silence of a client that the handler waits for.
	patience = time.Minute
	// minRate, in bytes a second, is what a client must send or take on average
	// once it has used up its patience. The slowest modem was faster.
	minRate = 1 << 10
)

// pace bounds how long a client can keep its handler waiting. Only time in
// which the handler waits for the client counts. A request as a whole has no
// bound, because a build context can be large and a start slow.
//
// The zero value demands minRate after a first minute. A pace is not safe for
// concurrent use.
type pace struct {
	// fixed bounds the waits by patience in total, however many bytes move.
	fixed bool

	waited time.Duration
	moved  int64
}

// remaining returns how long the next wait can be.
func (p *pace) remaining() time.Duration {
	wait := patience - p.waited
	if !p.fixed {
		wait += time.Duration(p.moved/minRate) * time.Second
	}
	return min(wait, patience)
}

// count adds a wait that began at began and moved n bytes.
func (p *pace) count(began time.Time, n int) {
	p.waited += time.Since(began)
	p.moved += int64(n)
}

// violation describes how a client that is given up was too slow. began is when
// the last wait began.
func (p *pace) violation(began time.Time) string {
	switch {
	case time.Since(began) >= patience:
		return fmt.Sprintf("the client sent nothing for %s", patience)
	case p.fixed:
		return fmt.Sprintf("the client took more than %s", patience)
	}
	return fmt.Sprintf("the client sends less than %d bytes a second", minRate)
}
