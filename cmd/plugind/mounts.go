//go:build linux

package main

import (
	"cmp"
	"context"
	"net/http"
	"sync"

	"github.com/containerd/log"
	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/server/router"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/volume/service"
	"github.com/docker/docker/volume/service/opts"
)

// mounts uses volumes as containers would: a volume is mounted for a user,
// named by an id, and can't be removed until it was unmounted for all of
// them.
type mounts struct {
	volumes *service.VolumesService
	journal *journal

	mu   sync.Mutex
	held map[use]struct{}
}

// use is a volume being mounted for a user.
type use struct{ volume, id string }

func newMounts(volumes *service.VolumesService, journal *journal) *mounts {
	return &mounts{volumes: volumes, journal: journal, held: make(map[use]struct{})}
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
	return use{volume: vars["name"], id: cmp.Or(r.URL.Query().Get("id"), "plugind")}
}

func (m *mounts) mount(ctx context.Context, u use) (string, error) {
	// The reference comes first, so that nobody removes the volume in between.
	found, err := m.volumes.Get(ctx, u.volume, opts.WithGetReference(u.id))
	if err != nil {
		return "", err
	}
	path, err := m.volumes.Mount(ctx, found, u.id)
	if err != nil {
		if !m.holds(u) {
			_ = m.volumes.Release(ctx, u.volume, u.id) // fails only if ctx ended
		}
		return "", err
	}
	m.hold(u)
	m.journal.LogVolumeEvent(found.Name, events.ActionMount, map[string]string{"driver": found.Driver, "id": u.id})
	return path, nil
}

// unmount passes what it does not know on to the driver, which may have
// mounted it for a plugind before this one.
func (m *mounts) unmount(ctx context.Context, u use) error {
	found, err := m.volumes.Get(ctx, u.volume)
	if err != nil {
		return err
	}
	if err := m.volumes.Unmount(ctx, found, u.id); err != nil {
		return err
	}
	m.drop(u)
	m.journal.LogVolumeEvent(found.Name, events.ActionUnmount, map[string]string{"driver": found.Driver, "id": u.id})
	return m.volumes.Release(ctx, u.volume, u.id)
}

// releaseAll unmounts everything, before the drivers are stopped: a driver's
// mounts on the host outlive it.
func (m *mounts) releaseAll() {
	for _, u := range m.all() {
		if err := m.unmount(context.Background(), u); err != nil {
			log.L.WithError(err).WithFields(log.Fields{"volume": u.volume, "id": u.id}).Warn("volume stays mounted")
		}
	}
}

func (m *mounts) hold(u use) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held[u] = struct{}{}
}

func (m *mounts) drop(u use) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.held, u)
}

func (m *mounts) holds(u use) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.held[u]
	return ok
}

func (m *mounts) all() []use {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]use, 0, len(m.held))
	for u := range m.held {
		all = append(all, u)
	}
	return all
}
