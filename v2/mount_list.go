// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"sync"
	"sync/atomic"
	"time"
)

// finder returns the mount that a place without links is on. It is safe for concurrent
// use and asks no file system.
type finder func(place string) mountOfHost

// mountList is the list of mounts for all callers that wait for it at the same time. A
// plugin can make so many mounts that the kernel takes a second to list them.
type mountList struct {
	read    func() finder
	waiting atomic.Int64 // callers that need the list

	mu      sync.Mutex
	began   time.Time // when the last reading began
	mountOf finder    // nil if no caller needs it
}

// with calls use with a list that is read after the call of with.
func (l *mountList) with(use func(finder)) {
	since := time.Now()
	l.waiting.Add(1)
	defer l.leave()
	use(l.after(since))
}

func (l *mountList) after(since time.Time) finder {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mountOf == nil || l.began.Before(since) {
		l.began = time.Now()
		l.mountOf = l.read()
	}
	return l.mountOf
}

// leave releases the memory of the list after the last caller.
func (l *mountList) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting.Add(-1) == 0 {
		l.mountOf = nil
	}
}
