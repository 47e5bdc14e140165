// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package history

import "time"

// Now returns the time of the clock of [Event.At].
func Now() int64 { return time.Now().UnixNano() }
