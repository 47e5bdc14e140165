//go:build linux

package containerd

import "time"

// GiveUpAfter changes how long calls but Create wait for a containerd that can't
// be reached.
func (e *Executor) GiveUpAfter(limit time.Duration) { e.limits.outage, e.limits.cleanup = limit, limit }

// LimitCreate changes how long Create waits.
func (e *Executor) LimitCreate(limit time.Duration) { e.limits.create = limit }
