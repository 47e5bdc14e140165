package containerd

import (
	"context"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
)

// persist makes a call that may be made twice. One that failed because the
// connection was lost, or was not there, is made again when containerd is back,
// until ctx ends, which is that of the call. A connection that the end of
// containerd left says so only to the first who uses it.
func (e *Executor) persist(ctx context.Context, call func() error) error {
	for backoff := newBackoff(); ; {
		err := call()
		if !isLost(err) || !e.reconnect(ctx, &backoff) {
			return err
		}
	}
}

// isLost reports whether err is about the connection: that it broke, or that
// its owner replaced it.
func isLost(err error) bool {
	if err == nil {
		return false
	}
	err = errgrpc.ToNative(err)
	return errdefs.IsUnavailable(err) || errdefs.IsCanceled(err)
}

// backoff paces attempts that fail at once.
type backoff struct{ pause time.Duration }

const (
	minPause = 20 * time.Millisecond
	maxPause = 2 * time.Second
)

func newBackoff() backoff { return backoff{minPause} }

func (b *backoff) reset() { b.pause = minPause }

// reconnect waits until containerd can be reached again, and for a pause that
// doubles; it reports false if ctx ended before.
func (e *Executor) reconnect(ctx context.Context, b *backoff) bool {
	timer := time.NewTimer(b.pause)
	defer timer.Stop()
	b.pause = min(2*b.pause, maxPause)
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	// Its error is that of the next attempt too.
	_, _ = e.client.IsServing(ctx)
	return ctx.Err() == nil
}
