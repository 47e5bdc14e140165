// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/pkg/idtools"
	"github.com/docker/docker/volume/service"
	"github.com/docker/docker/volume/service/opts"
	"gotest.tools/v3/assert"
)

// newTestMounts returns mounts for the local driver, with one volume, data.
func newTestMounts(t testing.TB) *mounts {
	t.Helper()
	j := newJournal()
	volumes, err := service.NewVolumeService(t.TempDir(), nil, idtools.Identity{UID: os.Getuid(), GID: os.Getgid()}, j)
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, volumes.Shutdown()) })
	_, err = volumes.Create(t.Context(), "data", "local")
	assert.NilError(t, err)
	return newMounts(newVolumes(volumes), j, filepath.Join(t.TempDir(), "mounts.json"))
}

func TestMountedVolumeIsNotRemoved(t *testing.T) {
	m := newTestMounts(t)
	one, two := use{"data", "one"}, use{"data", "two"}
	path, err := m.mount(t.Context(), one)
	assert.NilError(t, err)
	assert.NilError(t, os.WriteFile(filepath.Join(path, "file"), nil, 0o600))
	_, err = m.mount(t.Context(), two)
	assert.NilError(t, err)

	err = m.volumes.Remove(t.Context(), "data")
	assert.Assert(t, errdefs.IsConflict(err), "%v", err)
	assert.NilError(t, m.unmount(t.Context(), one))
	err = m.volumes.Remove(t.Context(), "data")
	assert.Assert(t, errdefs.IsConflict(err), "%v", err)
	assert.NilError(t, m.unmount(t.Context(), two))
	assert.NilError(t, m.volumes.Remove(t.Context(), "data"))
}

func TestMountsAreEvents(t *testing.T) {
	m := newTestMounts(t)
	from := m.journal.position()
	_, err := m.mount(t.Context(), use{"data", "one"})
	assert.NilError(t, err)
	assert.NilError(t, m.unmount(t.Context(), use{"data", "one"}))
	found, _, _, _ := m.journal.since(from)
	var told []string
	for _, event := range found {
		told = append(told, string(event.Action)+" "+event.Actor.ID+" for "+event.Actor.Attributes["id"])
	}
	assert.DeepEqual(t, told, []string{"mount data for one", "unmount data for one"})
}

func TestUnknownVolumesAreNotMounted(t *testing.T) {
	m := newTestMounts(t)
	_, err := m.mount(t.Context(), use{"nothing", "one"})
	assert.Assert(t, errdefs.IsNotFound(err), "%v", err)
	err = m.unmount(t.Context(), use{"nothing", "one"})
	assert.Assert(t, errdefs.IsNotFound(err), "%v", err)
	assert.Equal(t, len(m.uses.all()), 0)
}

func TestFailedMountLeavesNoReference(t *testing.T) {
	m := newTestMounts(t)
	_, err := m.volumes.Create(t.Context(), "broken", "local", func(config *opts.CreateConfig) {
		config.Options = map[string]string{"type": "none", "o": "bind", "device": "/nowhere"}
	})
	assert.NilError(t, err)
	_, err = m.mount(t.Context(), use{"broken", "one"})
	assert.ErrorContains(t, err, "no such file or directory")
	assert.NilError(t, m.volumes.Remove(t.Context(), "broken"))
}

func TestReleaseAllUnmountsWhatIsMounted(t *testing.T) {
	m := newTestMounts(t)
	for _, id := range []string{"one", "two"} {
		_, err := m.mount(t.Context(), use{"data", id})
		assert.NilError(t, err)
	}
	assert.NilError(t, m.releaseAll(t.Context()))
	assert.Equal(t, len(m.uses.all()), 0)
	assert.NilError(t, m.volumes.Remove(t.Context(), "data"))
	assert.NilError(t, m.releaseAll(t.Context()))
}

// TestTheNextTakesMountsOver ends a plugind without unmounting, as live restore
// does. The next plugind knows the mounts and their users.
func TestTheNextTakesMountsOver(t *testing.T) {
	m := newTestMounts(t)
	one, two := use{"data", "one"}, use{"data", "two"}
	for _, u := range []use{one, two} {
		_, err := m.mount(t.Context(), u)
		assert.NilError(t, err)
	}
	assert.NilError(t, m.unmount(t.Context(), two))
	_, err := m.volumes.Create(t.Context(), "gone", "local")
	assert.NilError(t, err)
	_, err = m.mount(t.Context(), use{"gone", "one"})
	assert.NilError(t, err)
	assert.NilError(t, m.volumes.Release(t.Context(), "gone", "one"))
	assert.NilError(t, m.volumes.Remove(t.Context(), "gone"))
	assert.NilError(t, m.volumes.Release(t.Context(), "data", "one"))

	next := newMounts(m.volumes, m.journal, m.uses.path)
	next.takeOver(t.Context())
	assert.DeepEqual(t, next.uses.all(), []use{one})
	assert.Check(t, errdefs.IsConflict(next.volumes.Remove(t.Context(), "data")))
	assert.NilError(t, next.releaseAll(t.Context()))
	assert.NilError(t, next.volumes.Remove(t.Context(), "data"))

	assert.NilError(t, next.uses.discard())
	assert.NilError(t, next.uses.discard())
	left, err := next.uses.load()
	assert.NilError(t, err)
	assert.Equal(t, len(left), 0)

	assert.NilError(t, os.WriteFile(m.uses.path, []byte("[{"), 0o600))
	next = newMounts(m.volumes, m.journal, m.uses.path)
	next.takeOver(t.Context())
	assert.Equal(t, len(next.uses.all()), 0)
}

// mountVolume mounts a volume by the daemon of h and returns the volume's path.
func mountVolume(t testing.TB, h *house, name string) string {
	t.Helper()
	var answer mountAnswer
	assert.NilError(t, json.Unmarshal(post(t, h, "/volumes/"+name+"/mount?id=test", http.StatusOK), &answer))
	return answer.Mountpoint
}

func unmountVolume(t testing.TB, h *house, name string) {
	t.Helper()
	post(t, h, "/volumes/"+name+"/unmount?id=test", http.StatusNoContent)
}

func post(t testing.TB, h *house, path string, status int) []byte {
	t.Helper()
	socket, err := h.options.socket()
	assert.NilError(t, err)
	answer, err := clientOf(socket).Post("http://plugind"+path, "", nil)
	assert.NilError(t, err)
	body, err := io.ReadAll(answer.Body)
	assert.NilError(t, err)
	assert.NilError(t, answer.Body.Close())
	assert.Equal(t, answer.StatusCode, status, "%s", body)
	return body
}
