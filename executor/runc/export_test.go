// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc

import "time"

// WithLimits shortens what bounds an executor's waits.
func WithLimits(create, cleanup, unfinished time.Duration) Option {
	return func(s *settings) {
		s.limits.create, s.limits.cleanup, s.limits.unfinished = create, cleanup, unfinished
	}
}

// OpenHandover is how long an executor waits for output after an end.
const OpenHandover = handover

// HoldUp makes calls hang in the executor until goOn is called.
func (e *Executor) HoldUp() (goOn func()) {
	e.mu.Lock()
	return e.mu.Unlock
}
