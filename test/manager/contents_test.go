// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testworld"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
	v2 "github.com/dovetailhq/plugin/v2"
)

// recordAnew changes a plugin's record between two managers, as another manager
// would have written it.
func (w *world) recordAnew(id string, change func(*v2.Plugin)) {
	w.T.Helper()
	w.Shutdown()
	p := new(v2.Plugin)
	assert.NilError(w.T, json.Unmarshal([]byte(w.record(id)), p))
	change(p)
	data, err := json.Marshal(p)
	assert.NilError(w.T, err)
	assert.NilError(w.T, os.WriteFile(filepath.Join(w.Config.Root, id, "config.json"), data, 0o600))
	w.start()
}

func (w *world) blobPath(dgst digest.Digest) string {
	return filepath.Join(w.Config.Root, "storage", "blobs", "sha256", dgst.Encoded())
}

// pulledWorld returns a world with a plugin of two layers that was pulled from r.
func pulledWorld(t *testing.T) (w *world, r *fake.Registry, name string, grants types.PluginPrivileges) {
	t.Helper()
	w, r, host := newConnectedWorld(t)
	putVersion(t, r, "v1")
	name = host + "/group/plugin:v1"
	grants, err := w.Privileges(t.Context(), testworld.Named(t, name), nil, nil)
	assert.NilError(t, err)
	_, err = w.pull(name, "", grants)
	assert.NilError(t, err)
	w.GC()
	return w, r, name, grants
}

// A manifest names layers that the record lacks, or another config than the
// record. Both happen with docker's records.
func TestCollectionKeepsWhatManifestsName(t *testing.T) {
	w, r, name, _ := pulledWorld(t)
	before := w.Blobs()
	assert.Equal(t, len(before), 4)
	w.recordAnew(w.ID(name), func(p *v2.Plugin) { p.Blobsums, p.Config = nil, digest.FromString("the old version's") })
	w.GC()
	assert.DeepEqual(t, w.Blobs(), before)
	usage, err := w.DiskUsage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, usage.Garbage, plugin.Garbage{})
	_, manifest := r.Manifest("group/plugin", "v1")
	w.push(name)
	_, after := r.Manifest("group/plugin", "v1")
	assert.Equal(t, string(after), string(manifest))
}

// TestDamagedManifestStopsCollection: a collection can't know what a damaged
// manifest refers to, so it deletes no blob.
func TestDamagedManifestStopsCollection(t *testing.T) {
	w, _, name, grants := pulledWorld(t)
	p, err := w.Get(name)
	assert.NilError(t, err)
	assert.NilError(t, os.Chmod(w.blobPath(p.Manifest), 0o600))
	assert.NilError(t, os.WriteFile(w.blobPath(p.Manifest), []byte("damaged"), 0o600))
	w.litterLive()
	before := w.Blobs()
	w.GC()
	assert.DeepEqual(t, w.Blobs(), before)
	usage, err := w.DiskUsage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, usage.Garbage.Blobs, plugin.SpaceUsage{})
	deleted, err := w.Prune(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, deleted.Blobs, plugin.SpaceUsage{})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = w.Prune(cancelled)
	assert.Check(t, is.ErrorIs(err, context.Canceled))

	// An upgrade to the same version repairs the manifest.
	assert.NilError(t, w.upgrade(name, name, grants))
	w.Check("upgraded")
	assert.Equal(t, len(w.Blobs()), 4)
}

// TestPushRefusesIncompletePlugins: nothing in the registry changes.
func TestPushRefusesIncompletePlugins(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(w *world, p *v2.Plugin)
		record func(p *v2.Plugin)
		lacks  func(p *v2.Plugin) string
	}{
		"manifest, and layers unknown": {
			damage: func(w *world, p *v2.Plugin) { assert.NilError(w.T, os.Remove(w.blobPath(p.Manifest))) },
			record: func(p *v2.Plugin) { p.Blobsums = nil },
			lacks:  func(p *v2.Plugin) string { return "manifest " + p.Manifest.String() },
		},
		"no manifest known, and no layers": {
			damage: func(*world, *v2.Plugin) {},
			record: func(p *v2.Plugin) { p.Blobsums, p.Manifest = nil, "" },
			lacks:  func(*v2.Plugin) string { return "manifest is not in the local store" },
		},
		"manifest, and one layer unknown": {
			damage: func(w *world, p *v2.Plugin) { assert.NilError(w.T, os.Remove(w.blobPath(p.Manifest))) },
			record: func(p *v2.Plugin) { p.Blobsums = p.Blobsums[1:] },
			lacks:  func(p *v2.Plugin) string { return "manifest " + p.Manifest.String() },
		},
		"manifest, and the config is another version's": {
			damage: func(w *world, p *v2.Plugin) { assert.NilError(w.T, os.Remove(w.blobPath(p.Manifest))) },
			record: func(p *v2.Plugin) { p.PluginObj.Config.Rootfs.DiffIds[0] = digest.FromString("new").String() },
			lacks:  func(p *v2.Plugin) string { return "manifest " + p.Manifest.String() },
		},
		"manifest and config": {
			damage: func(w *world, p *v2.Plugin) {
				assert.NilError(w.T, errors.Join(os.Remove(w.blobPath(p.Manifest)), os.Remove(w.blobPath(p.Config))))
			},
			record: func(*v2.Plugin) {},
			lacks:  func(p *v2.Plugin) string { return "config " + p.Config.String() },
		},
		"manifest and layer": {
			damage: func(w *world, p *v2.Plugin) {
				assert.NilError(w.T, errors.Join(os.Remove(w.blobPath(p.Manifest)), os.Remove(w.blobPath(p.Blobsums[1]))))
			},
			record: func(*v2.Plugin) {},
			lacks:  func(p *v2.Plugin) string { return "layer " + p.Blobsums[1].String() },
		},
		"layer": {
			damage: func(w *world, p *v2.Plugin) { assert.NilError(w.T, os.Remove(w.blobPath(p.Blobsums[0]))) },
			record: func(p *v2.Plugin) { p.Blobsums = nil },
			lacks:  func(p *v2.Plugin) string { return "blob " + p.Blobsums[0].String() },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, r, name, grants := pulledWorld(t)
			_, before := r.Manifest("group/plugin", "v1")
			live, err := w.Get(name)
			assert.NilError(t, err)
			p := live.Clone()
			test.damage(w, p)
			w.recordAnew(w.ID(name), test.record)
			r.Requests()
			err = w.Push(t.Context(), name, nil, nil, io.Discard)
			var lacks *plugin.MissingBlobError
			assert.Assert(t, errors.As(err, &lacks), "%v", err)
			assert.Check(t, errdefs.IsNotFound(err))
			assert.Check(t, is.ErrorContains(err, test.lacks(p)))
			assert.Equal(t, len(r.Requests()), 0, "something was sent")

			// An upgrade to the same version fetches the missing content.
			assert.NilError(t, w.upgrade(name, name, grants))
			w.push(name)
			_, after := r.Manifest("group/plugin", "v1")
			assert.Equal(t, string(after), string(before))
		})
	}
}
