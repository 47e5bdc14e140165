package plugin

import (
	"context"
	"errors"
)

// Prune deletes the garbage that [Manager.DiskUsage] reports, and returns what
// it deleted, also beside an error. It waits for no verb and none waits for
// it; what verbs under way use is no garbage.
//
// Errors: [FencedError], that of ctx, and class System for what could not be
// deleted, for example because something is mounted there.
func (pm *Manager) Prune(ctx context.Context) (_ Garbage, retErr error) {
	defer plain(&retErr)
	if err := pm.writable(); err != nil {
		return Garbage{}, err
	}
	var deleted Garbage
	steps := []func(context.Context, *Garbage) error{pm.pruneLeftovers, pm.pruneDownloads, pm.pruneBlobs}
	var problems []error
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return deleted, err
		}
		problems = append(problems, step(ctx, &deleted))
	}
	if err := errors.Join(problems...); err != nil {
		return deleted, &StorageError{Op: "prune", Name: pm.root.Dir(), Err: err}
	}
	return deleted, nil
}

func (pm *Manager) pruneLeftovers(ctx context.Context, deleted *Garbage) error {
	count, bytes, err := pm.root.Garbage(ctx)
	if err != nil {
		return err
	}
	sweepErr := pm.root.SweepGarbage(ctx)
	countLeft, bytesLeft, err := pm.root.Garbage(context.WithoutCancel(ctx))
	deleted.Leftovers = Usage{Count: max(0, count-countLeft), Bytes: max(0, bytes-bytesLeft)}
	return errors.Join(sweepErr, err)
}

func (pm *Manager) pruneDownloads(_ context.Context, deleted *Garbage) error {
	swept, err := pm.blobs.SweepAbandoned()
	deleted.Downloads = Usage{Count: swept.Blobs, Bytes: swept.Bytes}
	return err
}

func (pm *Manager) pruneBlobs(ctx context.Context, deleted *Garbage) error {
	swept, err := pm.sweepBlobs(ctx)
	deleted.Blobs = Usage{Count: swept.Blobs, Bytes: swept.Bytes}
	return err
}
