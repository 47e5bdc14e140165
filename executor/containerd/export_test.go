// SPDX-License-Identifier: Apache-2.0

//go:build linux

package containerd

import "time"

// GiveUpAfter sets how long calls except Create wait for a containerd that can't
// be reached. An attempt to remove a run takes several calls of containerd and gets
// more time, so that it succeeds on a loaded machine.
func (e *Executor) GiveUpAfter(limit time.Duration) {
	e.limits.outage, e.limits.cleanup = limit, 4*limit
}

// LimitCreate sets how long Create waits.
func (e *Executor) LimitCreate(limit time.Duration) { e.limits.create = limit }

// Native is the error of a request as a caller gets it.
var Native = native
