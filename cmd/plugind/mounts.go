//go:build linux

package main

import (
	"cmp"
	"context"
	"net/http"
	"sync"

	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/server/router"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/volume/service/opts"

	"github.com/dovetailhq/plugin/internal/logging"
)

// mounts uses volumes as containers would: a volume is mounted for a user,
// named by an id, and can't be removed until it was unmounted for all of
// them.
type mounts struct {
	volumes *volumes
	journal *journal
	uses    uses
}

// newMounts returns mounts of which a file at path tells the next plugind.
func newMounts(volumes *volumes, journal *journal, path string) *mounts {
	return &mounts{volumes: volumes, journal: journal, uses: uses{path: path}}
}

// takeOver goes on with what an earlier plugind mounted, whose plugins live.
func (m *mounts) takeOver(ctx context.Context) {
	left, err := m.uses.left()
	if err != nil {
		logging.L().WithError(err).Warn("which volumes are mounted is not known")
	}
	for _, u := range left {
		if err := m.resume(ctx, u); err != nil {
			logging.L().WithError(err).WithFields(u.fields()).Warn("volume that is mounted is not taken over")
		}
	}
}

func (m *mounts) resume(ctx context.Context, u use) error {
	found, err := m.volumes.Get(ctx, u.Volume, opts.WithGetReference(u.ID))
	if err != nil {
		return err
	}
	if err := m.volumes.LiveRestoreVolume(ctx, found, u.ID); err != nil {
		return err
	}
	return m.uses.add(u)
}

func (m *mounts) router() router.Router {
	return routes{
		router.NewPostRoute("/volumes/{name:.*}/mount", m.postMount),
		router.NewPostRoute("/volumes/{name:.*}/unmount", m.postUnmount),
	}
}

// mountAnswer says where on the host the volume is.
type mountAnswer struct{ Mountpoint string }

func (m *mounts) postMount(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	path, err := m.mount(ctx, useOf(r, vars))
	if err != nil {
		return err
	}
	return httputils.WriteJSON(w, http.StatusOK, mountAnswer{Mountpoint: path})
}

func (m *mounts) postUnmount(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	if err := m.unmount(ctx, useOf(r, vars)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func useOf(r *http.Request, vars map[string]string) use {
	return use{Volume: vars["name"], ID: cmp.Or(r.URL.Query().Get("id"), "plugind")}
}

func (m *mounts) mount(ctx context.Context, u use) (string, error) {
	// The reference comes first, so that nobody removes the volume in between.
	found, err := m.volumes.Get(ctx, u.Volume, opts.WithGetReference(u.ID))
	if err != nil {
		return "", err
	}
	path, err := m.volumes.Mount(ctx, found, u.ID)
	if err != nil {
		if !m.uses.has(u) {
			_ = m.volumes.Release(ctx, u.Volume, u.ID) // fails only if ctx ended
		}
		return "", err
	}
	m.noted(u, m.uses.add(u))
	m.journal.LogVolumeEvent(found.Name, events.ActionMount, map[string]string{"driver": found.Driver, "id": u.ID})
	return path, nil
}

// unmount passes what it does not know on to the driver, which may have
// mounted it for a plugind before this one.
func (m *mounts) unmount(ctx context.Context, u use) error {
	found, err := m.volumes.Get(ctx, u.Volume)
	if err != nil {
		return err
	}
	if err := m.volumes.Unmount(ctx, found, u.ID); err != nil {
		return err
	}
	m.noted(u, m.uses.drop(u))
	m.journal.LogVolumeEvent(found.Name, events.ActionUnmount, map[string]string{"driver": found.Driver, "id": u.ID})
	return m.volumes.Release(ctx, u.Volume, u.ID)
}

// releaseAll unmounts everything, before the drivers are stopped: a driver's
// mounts on the host outlive it. A driver that hangs keeps the others from
// nothing, and plugind from its end for no more than volumeDrainTimeout.
func (m *mounts) releaseAll() {
	ctx, cancel := context.WithTimeout(context.Background(), volumeDrainTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, u := range m.uses.all() {
		all.Go(func() {
			if err := m.unmount(ctx, u); err != nil {
				logging.L().WithError(err).WithFields(u.fields()).Warn("volume stays mounted")
			}
		})
	}
	all.Wait()
}

// noted tells that the next plugind will not know of a change. That is no
// reason to undo it.
func (m *mounts) noted(u use, err error) {
	if err != nil {
		logging.L().WithError(err).WithFields(u.fields()).Warn("whether a volume is mounted was not written down")
	}
}

func (u use) fields() logging.Fields { return logging.Fields{"volume": u.Volume, "id": u.ID} }
