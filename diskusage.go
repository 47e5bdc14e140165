// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"

	v2 "github.com/dovetailhq/plugin/v2"
)

// DiskUsage is the disk usage of a manager's root.
type DiskUsage struct {
	// Plugins are the installed plugins, broken plugins included, ordered by
	// name.
	Plugins []PluginUsage
	// Blobs is the content of all plugins: manifests, configs and layers.
	// Plugins can share blobs.
	Blobs SpaceUsage
	// Garbage is what [Manager.Prune] would delete now.
	Garbage Garbage
}

// PluginUsage is the disk usage of one plugin in bytes, without blobs and without
// mounts.
type PluginUsage struct {
	ID     string // of the plugin
	Name   string // of the plugin
	Rootfs int64  // the root file system
	Data   int64  // the propagated mount
	Output int64  // the output that is kept
	// Err is why a part could not be measured, for example because the plugin
	// nested directories more than 131,072 levels deep. It is nil if all parts
	// were measured.
	Err error
}

// SpaceUsage is a number of things and their total size.
type SpaceUsage struct {
	Count int
	Bytes int64
}

// Garbage is the files below Root that [Manager.Prune] deletes.
type Garbage struct {
	// Blobs are the blobs that no plugin refers to and no verb in progress uses.
	// Blobs is zero while the references of some plugin are unknown, because its
	// record or its manifest can't be read.
	Blobs SpaceUsage
	// Downloads are interrupted downloads, which the next pull of the same
	// plugin would resume.
	Downloads SpaceUsage
	// Leftovers are directories of installs and removals that could not be
	// deleted when they ended.
	Leftovers SpaceUsage
}

// Bytes returns the total size.
func (g Garbage) Bytes() int64 {
	return g.Blobs.Bytes + g.Downloads.Bytes + g.Leftovers.Bytes
}

// DiskUsage measures the files below Root. It walks the directories of all
// plugins, which may take seconds. It does not wait for verbs and may miss files
// that they add or delete concurrently. The Err of a [PluginUsage] reports parts of
// one plugin that can't be measured. Errors: class System, and that of ctx.
func (pm *Manager) DiskUsage(ctx context.Context) (_ *DiskUsage, retErr error) {
	defer plain(&retErr)
	usage := &DiskUsage{}
	for _, p := range pm.allPlugins() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		usage.Plugins = append(usage.Plugins, pm.pluginUsage(ctx, p))
	}
	stored, err := pm.blobs.Usage()
	if err != nil {
		return nil, &StorageError{Op: "measure", Name: "blobs", Err: err}
	}
	usage.Blobs = SpaceUsage(stored)
	usage.Garbage, err = pm.garbageNow(ctx)
	return usage, err
}

func (pm *Manager) pluginUsage(ctx context.Context, p *v2.Plugin) PluginUsage {
	taken, err := pm.root.Usage(ctx, p.GetID())
	if err != nil {
		err = &StorageError{Op: "measure", Name: p.Name(), Err: err}
	}
	return PluginUsage{
		ID:     p.GetID(),
		Name:   p.Name(),
		Rootfs: taken.Rootfs,
		Data:   taken.Data,
		Output: taken.Output,
		Err:    err,
	}
}

func (pm *Manager) garbageNow(ctx context.Context) (Garbage, error) {
	var found Garbage
	count, bytes, leftoverErr := pm.root.Garbage(ctx)
	found.Leftovers = SpaceUsage{Count: count, Bytes: bytes}
	downloads, downloadErr := pm.blobs.Abandoned()
	found.Downloads = SpaceUsage(downloads)
	blobs, blobErr := pm.blobs.Garbage(ctx, pm.referenced)
	found.Blobs = SpaceUsage(blobs)
	if isUnknownContent(blobErr) {
		blobErr = nil
	}
	if err := errors.Join(leftoverErr, downloadErr, blobErr); err != nil {
		return Garbage{}, &StorageError{Op: "measure", Name: "garbage", Err: err}
	}
	return found, nil
}

// Prune deletes the garbage that [Manager.DiskUsage] reports, and returns what
// it deleted, also together with an error. It runs concurrently with other verbs
// and never deletes files that they use.
//
// Errors: [FencedError], that of ctx, and class System for files that could not
// be deleted, for example because something is mounted there.
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
	// Few leftovers remain, or they can't be deleted. ctx may have ended.
	ctx, cancel := pm.files.Patient(context.WithoutCancel(ctx))
	defer cancel()
	countLeft, bytesLeft, err := pm.root.Garbage(ctx)
	if err == nil {
		deleted.Leftovers = SpaceUsage{Count: max(0, count-countLeft), Bytes: max(0, bytes-bytesLeft)}
	}
	return errors.Join(sweepErr, err)
}

func (pm *Manager) pruneDownloads(_ context.Context, deleted *Garbage) error {
	swept, err := pm.blobs.SweepAbandoned()
	deleted.Downloads = SpaceUsage(swept)
	return err
}

func (pm *Manager) pruneBlobs(ctx context.Context, deleted *Garbage) error {
	swept, err := pm.sweepBlobs(ctx)
	deleted.Blobs = SpaceUsage(swept)
	return err
}
