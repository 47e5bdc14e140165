// SPDX-License-Identifier: Apache-2.0

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

// mounts keeps volumes mounted as containers do: for a user, which is any ID. A
// volume cannot be removed until it is unmounted for all users.
type mounts struct {
	volumes *volumes
	journal *journal
	uses    uses
}

// newMounts returns mounts that are recorded at path, so that the next plugind
// can resume them.
func newMounts(volumes *volumes, journal *journal, path string) *mounts {
	return &mounts{volumes: volumes, journal: journal, uses: uses{path: path}}
}

// takeOver resumes the mounts of an earlier plugind. Its plugins still run.
func (m *mounts) takeOver(ctx context.Context) {
	uses, err := m.uses.load()
	if err != nil {
		logging.L().WithError(err).Warn("mounted volumes of an earlier plugind are unknown")
	}
	for _, u := range uses {
		if err := m.resume(ctx, u); err != nil {
			logging.L().WithError(err).WithFields(u.fields()).Warn("mounted volume was not taken over")
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

// mountAnswer has the volume's path on the host.
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
	// The reference comes first: it prevents the removal of the volume in
	// between.
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
	m.logUnrecorded(u, m.uses.add(u))
	m.journal.LogVolumeEvent(found.Name, events.ActionMount, map[string]string{"driver": found.Driver, "id": u.ID})
	return path, nil
}

// unmount also calls the driver for a mount that is not recorded: an earlier
// plugind can have made it.
func (m *mounts) unmount(ctx context.Context, u use) error {
	found, err := m.volumes.Get(ctx, u.Volume)
	if err != nil {
		return err
	}
	if err := m.volumes.Unmount(ctx, found, u.ID); err != nil {
		return err
	}
	m.logUnrecorded(u, m.uses.drop(u))
	m.journal.LogVolumeEvent(found.Name, events.ActionUnmount, map[string]string{"driver": found.Driver, "id": u.ID})
	return m.volumes.Release(ctx, u.Volume, u.ID)
}

// releaseAll unmounts everything. It runs before the drivers are stopped,
// because a driver's mounts on the host outlive the driver. Drivers are called
// concurrently, until ctx ends.
func (m *mounts) releaseAll(ctx context.Context) error {
	var all sync.WaitGroup
	for _, u := range m.uses.all() {
		all.Go(func() {
			if err := m.unmount(ctx, u); err != nil {
				logging.L().WithError(err).WithFields(u.fields()).Warn("volume stays mounted")
			}
		})
	}
	all.Wait()
	return nil
}

// logUnrecorded logs that a change was not recorded for the next plugind. The
// change itself stands.
func (m *mounts) logUnrecorded(u use, err error) {
	if err != nil {
		logging.L().WithError(err).WithFields(u.fields()).Warn("change of a volume's mounts was not recorded")
	}
}

func (u use) fields() logging.Fields { return logging.Fields{"volume": u.Volume, "id": u.ID} }
