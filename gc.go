package plugin

import (
	"context"
	"errors"

	"github.com/dovetailhq/plugin/internal/blobs"
)

// GC deletes the blobs that no plugin refers to and no verb under way uses,
// and what earlier installs, removals and runs could not delete, for example
// because it was mounted or would have taken long. It returns when that is done. Neither does it wait for a
// pull nor a pull for it. Errors are logged: what stays is deleted by the next
// one.
func (pm *Manager) GC() {
	if err := pm.writable(); err != nil {
		pm.warnOfLeftover(err, "collect unreferenced blobs")
		return
	}
	swept, err := pm.sweepBlobs(pm.ctx)
	if err != nil {
		pm.warnOfLeftover(err, "collect unreferenced blobs")
	}
	if swept.Blobs > 0 {
		pm.logger().WithField("blobs", swept.Blobs).WithField("bytes", swept.Bytes).Debug("collected unreferenced blobs")
	}
	// What plugins left may take long.
	err = errors.Join(pm.root.SweepGarbage(pm.ctx), pm.sweepSockets(pm.ctx))
	if err != nil {
		pm.warnOfLeftover(err, "delete what installs, removals and runs left")
	}
}

// warnOfLeftover logs why garbage was not deleted. A shutdown interrupts that as
// a matter of course: the next manager does it.
func (pm *Manager) warnOfLeftover(err error, what string) {
	if logger := pm.logger().WithError(err); pm.halted.Err() == nil {
		logger.Warn(what)
	} else {
		logger.Debug(what)
	}
}

// sweepBlobs deletes no blob that a plugin may need.
func (pm *Manager) sweepBlobs(ctx context.Context) (blobs.Swept, error) {
	swept, err := pm.blobs.Sweep(ctx, pm.referenced)
	if isUnknownContent(err) {
		pm.logger().WithError(err).Warn("keep all blobs")
		return swept, nil
	}
	return swept, err
}

// collect sweeps when asked, many requests at once, until Shutdown begins.
func (pm *Manager) collect() {
	for {
		select {
		case <-pm.halted.Done():
			return
		case <-pm.garbage:
			pm.GC()
		}
	}
}

// requestGC asks the collector for a sweep, and does not wait for it.
func (pm *Manager) requestGC() {
	select {
	case pm.garbage <- struct{}{}:
	default:
	}
}
