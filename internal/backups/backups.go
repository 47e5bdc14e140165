// SPDX-License-Identifier: Apache-2.0

// Package backups completes or undoes upgrades by docker's manager that a crash
// interrupted. Such an upgrade leaves both the old and the new rootfs of a plugin,
// and the record of one of them; see [layout.Root.RestoreBackup].
package backups

import (
	"context"
	"errors"
	"io"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/rootfs"
	v2 "github.com/dovetailhq/plugin/v2"
)

// Settler decides which version of a plugin its record describes. All fields are
// required. No verb may be in progress.
type Settler struct {
	Root   *layout.Root
	Blobs  *blobs.Store
	Limits rootfs.Limits
}

// Settle restores the old rootfs of a plugin if the record describes the old version,
// and reports whether it did. Otherwise it deletes the old rootfs. The record's age and
// the layers decide together; see [evidence]. If the store lacks the layers, a record
// newer than the renames counts as committed, because docker runs such a plugin.
//
// Errors: [layout.LeftoverError] if the plugin is intact and its old rootfs is left to
// the next sweep; [layout.BackupError] if the version is unknown, or a comparison
// failed or ended with ctx, and both rootfs are kept; and those of the file system.
func (s Settler) Settle(ctx context.Context, p *v2.Plugin) (restored bool, err error) {
	id := p.GetID()
	isOld, err := s.isOld(ctx, p)
	if err != nil {
		return false, &layout.BackupError{Rootfs: s.Root.Rootfs(id), Backup: s.Root.Backup(id), Err: err}
	}
	if isOld {
		return true, s.Root.RestoreBackup(id)
	}
	if err := s.Root.DiscardBackup(id); err != nil {
		return false, &layout.LeftoverError{Path: s.Root.Backup(id), Err: err}
	}
	return false, nil
}

// isOld reports whether the record of a plugin describes its backup.
func (s Settler) isOld(ctx context.Context, p *v2.Plugin) (bool, error) {
	older, err := s.Root.PrecedesBackup(p.GetID())
	if err != nil {
		return false, err
	}
	e := evidence{older: older}
	if e.identical, err = s.Root.IsBackupIdentical(ctx, p.GetID()); err != nil {
		return false, err
	}
	if err := s.compare(ctx, p, &e); err != nil {
		return false, err
	}
	return e.isOld()
}

// evidence is what decides which version a record describes. Each part alone can
// mislead: docker saves the record of a plugin at each start, also after an upgrade
// that was not committed, and copies of a root have the ages of the copying. Plugins
// change and add files, and an upgrade can change the config alone.
type evidence struct {
	// older reports that the record is older than the renames.
	older bool
	// identical reports that the rootfs and the backup are the same, as after a crash
	// that followed the restoring of a copy. Either version is then in both.
	identical bool
	// original reports that the record names the config of its manifest. The record
	// with which docker commits an upgrade names the config of the old version; a
	// later record of the same daemon names its own.
	original bool
	// absent is the reason if the store has no layers to compare with.
	absent error
	layout.Comparison
}

// isOld decides by the age, unless the layers or the config contradict it, or the
// backup may hold the only copy of the plugin's data.
func (e evidence) isOld() (bool, error) {
	switch {
	case e.identical:
		return e.older, nil
	case e.older && e.absent != nil:
		return false, e.absent
	case e.older && e.Backup > 0 && e.Backup >= e.Rootfs:
		return false, errors.New("the record is older than the upgrade, and its layers do not match the old rootfs")
	case e.older:
		return true, nil
	case e.original && (e.BackupAdds || e.absent != nil):
		return false, errors.New("the record is newer than the upgrade, and may be that of the old version")
	case e.absent != nil:
		return false, nil
	case e.Backup < e.Rootfs:
		return false, errors.New("the record is newer than the upgrade, and its layers match the old rootfs better")
	case e.Backup == e.Rootfs && e.BackupAdds:
		return false, errors.New("the layers match both versions, and the old rootfs has data of the plugin")
	}
	return false, nil
}

// compare sets the evidence of the layers and the config of a plugin. The error is
// that of reading the layers or the trees.
func (s Settler) compare(ctx context.Context, p *v2.Plugin, e *evidence) error {
	layers, err := s.layersOf(ctx, p, e)
	if err != nil || e.absent != nil {
		return err
	}
	stage, err := s.Root.Stage(ctx, p.GetID())
	if err != nil {
		return err
	}
	defer func() { _ = stage.Abort() }() // the next sweep deletes it, or reports why not
	if err := s.unpack(ctx, stage.Rootfs(), layers); err != nil {
		return err
	}
	e.Comparison, err = s.Root.CompareRootfs(ctx, stage.Rootfs(), p.GetID())
	return err
}

// layersOf returns the layers of a plugin's manifest, lowest first, or sets
// e.absent. Docker's records have no layers, or those of the old version.
func (s Settler) layersOf(ctx context.Context, p *v2.Plugin, e *evidence) (layers []digest.Digest, err error) {
	if e.absent = p.Manifest.Validate(); e.absent != nil {
		return nil, nil
	}
	manifest, err := s.Blobs.Manifest(ctx, p.Manifest)
	if err != nil {
		return nil, e.unlessAbsent(err)
	}
	e.original = manifest.Config.Digest == p.Config
	for _, layer := range manifest.Layers {
		if e.absent = layer.Digest.Validate(); e.absent != nil {
			return nil, nil
		}
		if _, err := s.Blobs.Size(ctx, layer.Digest); err != nil {
			return nil, e.unlessAbsent(err)
		}
		layers = append(layers, layer.Digest)
	}
	if len(layers) == 0 {
		e.absent = errors.New("the manifest names no layers")
	}
	return layers, nil
}

// unlessAbsent returns err, unless it reports content that the store does not have.
// Any other error, such as a full disk or the end of a context, proves nothing.
func (e *evidence) unlessAbsent(err error) error {
	if errdefs.IsNotFound(err) {
		e.absent = err
		return nil
	}
	return err
}

func (s Settler) unpack(ctx context.Context, dir string, layers []digest.Digest) error {
	unpacker, err := rootfs.NewUnpacker(dir, s.Limits)
	if err != nil {
		return err
	}
	defer unpacker.Close()
	sources := make([]rootfs.Source, len(layers))
	for i, layer := range layers {
		sources[i] = func(ctx context.Context) (io.ReadCloser, error) { return s.Blobs.Reader(ctx, layer) }
	}
	return unpacker.ApplyAll(ctx, sources, func(int, rootfs.Layer) error { return nil })
}
