package history

import "golang.org/x/sys/unix"

// Now reads the clock of [Event.At].
func Now() int64 {
	var now unix.Timespec
	// It fails only for clocks that a kernel does not have.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return now.Nano()
}
