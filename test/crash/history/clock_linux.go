// SPDX-License-Identifier: Apache-2.0

package history

import "golang.org/x/sys/unix"

// Now returns the time of the clock of [Event.At].
func Now() int64 {
	var now unix.Timespec
	// It fails only for a clock that the kernel lacks.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return now.Nano()
}
