//go:build !linux

package history

import "time"

// Now reads the clock of [Event.At].
func Now() int64 { return time.Now().UnixNano() }
