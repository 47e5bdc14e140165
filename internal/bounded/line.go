// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"context"
	"sync"
)

// Line lets one call at a time be in progress. A call that hangs keeps its place
// until it returns. Make it with [NewLine].
type Line struct{ place Lock }

// NewLine returns a line without a call.
func NewLine() Line { return Line{NewLock()} }

// Busy reports whether a call is in progress.
func (l Line) Busy() bool { return len(l.place) > 0 }

// Idle blocks until no call is in progress, or returns the cause of the end of
// ctx.
func (l Line) Idle(ctx context.Context) error {
	if err := l.enter(ctx); err != nil {
		return err
	}
	l.leave()
	return nil
}

func (l Line) enter(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return l.place.Lock(ctx)
}

func (l Line) leave() { l.place.Unlock() }

// Start calls f as soon as no other call is in progress. When ctx ends before
// that, the error is its cause and f is never called.
func Start[T any](ctx context.Context, l Line, f func() (T, error)) (*Call[T], error) {
	if err := l.enter(ctx); err != nil {
		return nil, err
	}
	return Go(func() (T, error) {
		defer l.leave()
		return f()
	}), nil
}

// Lines are a [Line] for each key that has a call. The zero value is ready. It is
// safe for concurrent use.
type Lines[K comparable] struct {
	mu    sync.Mutex
	lines map[K]*shared
}

type shared struct {
	Line
	users int // callers, and calls in progress
}

// StartFor calls f as soon as no other call for key is in progress. When ctx ends
// before that, the error is its cause and f is never called.
func StartFor[K comparable, T any](ctx context.Context, l *Lines[K], key K, f func() (T, error)) (*Call[T], error) {
	call, err := Start(ctx, l.join(key), func() (T, error) {
		defer l.part(key)
		return f()
	})
	if err != nil {
		l.part(key)
	}
	return call, err
}

func (l *Lines[K]) join(key K) Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.lines[key]
	if line == nil {
		if l.lines == nil {
			l.lines = make(map[K]*shared)
		}
		line = &shared{Line: NewLine()}
		l.lines[key] = line
	}
	line.users++
	return line.Line
}

func (l *Lines[K]) part(key K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.lines[key]
	if line.users--; line.users == 0 {
		delete(l.lines, key)
	}
}
