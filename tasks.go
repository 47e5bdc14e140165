package plugin

import (
	"context"
	"sync"
	"time"

	"github.com/dovetailhq/plugin/internal/supervise"
)

// tasks are goroutines with an owner, which waits for them in the end. The
// zero value is ready. A task may be started at any time, also while the owner
// waits.
type tasks struct {
	mu      sync.Mutex
	running int
	idle    chan struct{} // closed when running becomes 0; nil while nobody waits
}

func (t *tasks) start(do func()) {
	t.mu.Lock()
	t.running++
	t.mu.Unlock()
	go func() {
		defer t.end()
		do()
	}()
}

func (t *tasks) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running--
	if t.running == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// wait returns when no task runs, or with the cause of the end of ctx.
func (t *tasks) wait(ctx context.Context) error {
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

// answerTime is how long a question may take that only adds to what is
// reported: an exit code, a pid, a hint.
const answerTime = time.Second

// answer returns what ask returns, or false when that takes longer than limit
// or panics. Executors, runtimes and file systems may hang.
func answer[T any](limit time.Duration, ask func() T) (got T, ok bool) {
	answers := make(chan T, 1)
	failed := make(chan struct{})
	go func() {
		err := supervise.Protect(func() error {
			answers <- ask()
			return nil
		})
		if err != nil {
			close(failed)
		}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case got = <-answers:
		return got, true
	case <-failed:
		return got, false
	case <-timer.C:
		return got, false
	}
}
