// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"context"
	"sync"
)

// Tasks are goroutines with an owner, which waits for them in the end. The
// zero value is ready. A task may be started at any time, also while the owner
// waits.
type Tasks struct {
	mu      sync.Mutex
	running int
	idle    chan struct{} // closed when running becomes 0; nil while no caller waits
}

// Start calls do on a new goroutine.
func (t *Tasks) Start(do func()) {
	t.mu.Lock()
	t.running++
	t.mu.Unlock()
	go func() {
		defer t.end()
		do()
	}()
}

func (t *Tasks) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running--
	if t.running == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// Wait returns when no task runs, or with the cause of the end of ctx.
func (t *Tasks) Wait(ctx context.Context) error {
	t.mu.Lock()
	if t.running == 0 {
		t.mu.Unlock()
		return nil
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
