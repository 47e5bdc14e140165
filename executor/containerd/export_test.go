//go:build linux

package containerd

import "time"

// GiveUpAfter changes how long calls wait for a containerd that can't be
// reached.
func (e *Executor) GiveUpAfter(d time.Duration) { e.outage = d }
