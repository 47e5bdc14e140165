package plugin

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	v2 "github.com/dovetailhq/plugin/v2"
)

// DiskUsage is what a manager's root takes of the disk.
type DiskUsage struct {
	// Plugins are the installed plugins, ordered by name, broken ones too.
	Plugins []Footprint
	// Blobs is the content of all plugins: manifests, configs and layers, of
	// which several plugins may share some.
	Blobs Usage
	// Garbage is what [Manager.Prune] would delete now.
	Garbage Garbage
}

// Footprint is what one plugin takes, in bytes, without the blobs it shares
// with others and without what is mounted into it.
type Footprint struct {
	ID     string
	Name   string
	Rootfs int64 // its root file system
	Data   int64 // what it keeps below its propagated mount
	Output int64 // its output, as far as it is kept
	// Err is why some of it could not be measured, for example because the
	// plugin nested directories more than 131,072 levels deep; nil as a rule.
	Err error
}

// Usage is a number of things and the bytes they take together.
type Usage struct {
	Count int
	Bytes int64
}

// Garbage is what nobody needs.
type Garbage struct {
	// Blobs are those that no plugin refers to and no verb under way uses;
	// none while it is not known which blobs some plugin needs, because its
	// record or its manifest can't be read.
	Blobs Usage
	// Downloads are transfers that were cut off, which the next pull of the
	// same plugin would resume.
	Downloads Usage
	// Leftovers are directories of installs and removals that could not be
	// deleted when they ended.
	Leftovers Usage
}

// Bytes is how much all of it takes.
func (g Garbage) Bytes() int64 {
	return g.Blobs.Bytes + g.Downloads.Bytes + g.Leftovers.Bytes
}

// DiskUsage adds up what is below Root. It walks all plugins' directories,
// which may take seconds, and waits for no verb; what comes and goes meanwhile
// may be missed. What can't be measured of one plugin is that plugin's Err.
// Errors: class System, and that of ctx.
func (pm *Manager) DiskUsage(ctx context.Context) (_ *DiskUsage, retErr error) {
	defer plain(&retErr)
	usage := &DiskUsage{}
	for _, p := range append(pm.config.Store.all(), pm.brokenPlugins()...) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		usage.Plugins = append(usage.Plugins, pm.pluginUsage(ctx, p))
	}
	slices.SortFunc(usage.Plugins, func(a, b Footprint) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	stored, err := pm.blobs.Usage(ctx)
	if err != nil {
		return nil, &StorageError{Op: "measure", Name: "blobs", Err: err}
	}
	usage.Blobs = Usage{Count: stored.Blobs, Bytes: stored.BlobBytes}
	usage.Garbage, err = pm.garbageNow(ctx)
	return usage, err
}

func (pm *Manager) pluginUsage(ctx context.Context, p *v2.Plugin) Footprint {
	taken, err := pm.root.Usage(ctx, p.GetID())
	if err != nil {
		err = &StorageError{Op: "measure", Name: p.Name(), Err: err}
	}
	return Footprint{
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
	found.Leftovers = Usage{Count: count, Bytes: bytes}
	downloads, downloadErr := pm.blobs.Abandoned()
	found.Downloads = Usage{Count: downloads.Blobs, Bytes: downloads.Bytes}
	blobs, blobErr := pm.blobs.Garbage(ctx, pm.referenced)
	found.Blobs = Usage{Count: blobs.Blobs, Bytes: blobs.Bytes}
	if isUnknownContent(blobErr) {
		blobErr = nil
	}
	if err := errors.Join(leftoverErr, downloadErr, blobErr); err != nil {
		return Garbage{}, &StorageError{Op: "measure", Name: "garbage", Err: err}
	}
	return found, nil
}
