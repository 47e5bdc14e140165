// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
)

// retryLost makes an idempotent call. It repeats the call, until ctx ends, if the
// connection to containerd was lost or missing. A connection broken by the exit of
// containerd fails only on first use. Ctx must also be the context of the call.
func (e *Executor) retryLost(ctx context.Context, call func() error) error {
	for backoff := newBackoff(); ; {
		err := call()
		if !isLost(err) || !e.reconnect(ctx, &backoff) {
			return err
		}
	}
}

// isLost reports whether err means that the connection broke, or that the owner
// of the client replaced it.
func isLost(err error) bool {
	if err == nil {
		return false
	}
	err = errgrpc.ToNative(err)
	return errdefs.IsUnavailable(err) || errdefs.IsCanceled(err)
}

// backoff paces attempts that fail immediately.
type backoff struct{ pause time.Duration }

const (
	minPause = 20 * time.Millisecond
	maxPause = 2 * time.Second
)

func newBackoff() backoff { return backoff{minPause} }

func (b *backoff) reset() { b.pause = minPause }

// reconnect waits for a pause, which doubles each time, and until containerd can be
// reached. It returns false if ctx ends before.
func (e *Executor) reconnect(ctx context.Context, b *backoff) bool {
	timer := time.NewTimer(b.pause)
	defer timer.Stop()
	b.pause = min(2*b.pause, maxPause)
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	// The next attempt returns the same error.
	_, _ = e.client.IsServing(ctx)
	return ctx.Err() == nil
}
