//go:build linux

package plugin_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
	v2 "github.com/dovetailhq/plugin/v2"
)

// recordAnew changes what a plugin's record says, as another manager would have
// written it, between two managers.
func (w *world) recordAnew(id string, change func(*v2.Plugin)) {
	w.t.Helper()
	w.Shutdown()
	p := new(v2.Plugin)
	assert.NilError(w.t, json.Unmarshal([]byte(w.record(id)), p))
	change(p)
	data, err := json.Marshal(p)
	assert.NilError(w.t, err)
	assert.NilError(w.t, os.WriteFile(filepath.Join(w.config.Root, id, "config.json"), data, 0o600))
	w.start()
}

func (w *world) blobPath(dgst digest.Digest) string {
	return filepath.Join(w.config.Root, "storage", "blobs", "sha256", dgst.Encoded())
}

// pulledWorld has one plugin, of two layers, pulled from a registry.
func pulledWorld(t *testing.T) (w *world, r *fake.Registry, name string, grants types.PluginPrivileges) {
	t.Helper()
	w, r, host := newConnectedWorld(t)
	putVersion(t, r, "v1")
	name = host + "/group/plugin:v1"
	grants, err := w.Privileges(t.Context(), named(t, name), nil, nil)
	assert.NilError(t, err)
	_, err = w.pull(name, "", grants)
	assert.NilError(t, err)
	w.GC()
	return w, r, name, grants
}

// A manifest knows the layers that a record does not name, and its config where
// the record names another one. Both happen in docker's records.
func TestCollectionKeepsWhatManifestsName(t *testing.T) {
	w, r, name, _ := pulledWorld(t)
	before := w.blobs()
	assert.Equal(t, len(before), 4)
	w.recordAnew(w.id(name), func(p *v2.Plugin) { p.Blobsums, p.Config = nil, digest.FromString("the old version's") })
	w.GC()
	assert.DeepEqual(t, w.blobs(), before)
	usage, err := w.DiskUsage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, usage.Garbage, plugin.Garbage{})
	_, manifest := r.Manifest("group/plugin", "v1")
	w.push(name)
	_, after := r.Manifest("group/plugin", "v1")
	assert.Equal(t, string(after), string(manifest))
}

// While a manifest can't be read it is not known what to delete.
func TestCollectionKeepsAllBesideDamagedManifest(t *testing.T) {
	w, _, name, grants := pulledWorld(t)
	p, err := w.Get(name)
	assert.NilError(t, err)
	assert.NilError(t, os.Chmod(w.blobPath(p.Manifest), 0o600))
	assert.NilError(t, os.WriteFile(w.blobPath(p.Manifest), []byte("damaged"), 0o600))
	w.litterLive()
	before := w.blobs()
	w.GC()
	assert.DeepEqual(t, w.blobs(), before)
	usage, err := w.DiskUsage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, usage.Garbage.Blobs, plugin.Usage{})
	deleted, err := w.Prune(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, deleted.Blobs, plugin.Usage{})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = w.Prune(cancelled)
	assert.Check(t, is.ErrorIs(err, context.Canceled))

	// An upgrade to the same version mends it.
	assert.NilError(t, w.upgrade(name, name, grants))
	w.check("upgraded")
	assert.Equal(t, len(w.blobs()), 4)
}

// What is not here whole is not pushed: what the registry has stays.
func TestPushRefusesWhatIsNotWhole(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(w *world, p *v2.Plugin)
		record func(p *v2.Plugin)
		lacks  func(p *v2.Plugin) string
	}{
		"manifest, and layers unknown": {
			damage: func(w *world, p *v2.Plugin) { assert.NilError(w.t, os.Remove(w.blobPath(p.Manifest))) },
			record: func(p *v2.Plugin) { p.Blobsums = nil },
			lacks:  func(p *v2.Plugin) string { return "manifest " + p.Manifest.String() },
		},
		"no manifest known, and no layers": {
			damage: func(*world, *v2.Plugin) {},
			record: func(p *v2.Plugin) { p.Blobsums, p.Manifest = nil, "" },
			lacks:  func(*v2.Plugin) string { return "manifest is not kept" },
		},
		"manifest, and one layer unknown": {
			damage: func(w *world, p *v2.Plugin) { assert.NilError(w.t, os.Remove(w.blobPath(p.Manifest))) },
			record: func(p *v2.Plugin) { p.Blobsums = p.Blobsums[1:] },
			lacks:  func(p *v2.Plugin) string { return "manifest " + p.Manifest.String() },
		},
		"manifest, and the config is another version's": {
			damage: func(w *world, p *v2.Plugin) { assert.NilError(w.t, os.Remove(w.blobPath(p.Manifest))) },
			record: func(p *v2.Plugin) { p.PluginObj.Config.Rootfs.DiffIds[0] = digest.FromString("new").String() },
			lacks:  func(p *v2.Plugin) string { return "manifest " + p.Manifest.String() },
		},
		"manifest and config": {
			damage: func(w *world, p *v2.Plugin) {
				assert.NilError(w.t, errors.Join(os.Remove(w.blobPath(p.Manifest)), os.Remove(w.blobPath(p.Config))))
			},
			record: func(*v2.Plugin) {},
			lacks:  func(p *v2.Plugin) string { return "config " + p.Config.String() },
		},
		"manifest and layer": {
			damage: func(w *world, p *v2.Plugin) {
				assert.NilError(w.t, errors.Join(os.Remove(w.blobPath(p.Manifest)), os.Remove(w.blobPath(p.Blobsums[1]))))
			},
			record: func(*v2.Plugin) {},
			lacks:  func(p *v2.Plugin) string { return "layer " + p.Blobsums[1].String() },
		},
		"layer": {
			damage: func(w *world, p *v2.Plugin) { assert.NilError(w.t, os.Remove(w.blobPath(p.Blobsums[0]))) },
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
			w.recordAnew(w.id(name), test.record)
			r.Requests()
			err = w.Push(t.Context(), name, nil, nil, io.Discard)
			var lacks *plugin.MissingBlobError
			assert.Assert(t, errors.As(err, &lacks), "%v", err)
			assert.Check(t, cerrdefs.IsNotFound(err))
			assert.Check(t, is.ErrorContains(err, test.lacks(p)))
			assert.Equal(t, len(r.Requests()), 0, "something was sent")

			// An upgrade to the same version fetches it again.
			assert.NilError(t, w.upgrade(name, name, grants))
			w.push(name)
			_, after := r.Manifest("group/plugin", "v1")
			assert.Equal(t, string(after), string(before))
		})
	}
}
