package plugin_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// Configs of the forms that public plugins have, run by the real runtime.

// mountedDir makes a directory that is a shared mount, as every mount of a
// systemd host is, with another one mounted at its subdirectory sub.
func mountedDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, target := range []string{dir, filepath.Join(dir, "sub")} {
		assert.NilError(t, os.MkdirAll(target, 0o755))
		assert.NilError(t, unix.Mount("test", target, "tmpfs", 0, ""))
		t.Cleanup(func() { assert.Check(t, unix.Unmount(target, unix.MNT_DETACH)) })
		assert.NilError(t, unix.Mount("", target, "", unix.MS_SHARED, ""))
	}
	return dir
}

// mountsBelow lists what is mounted at or below dir.
func mountsBelow(t *testing.T, dir string) []string {
	t.Helper()
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	assert.NilError(t, err)
	var points []string
	for _, info := range infos {
		points = append(points, info.Mountpoint)
	}
	slices.Sort(points)
	return points
}

// TestMountsAtThePropagatedMount gives plugins a directory of the host at their
// propagated mount, and below it: they and the host see it there, and it
// outlives them with all that is mounted in it.
func TestMountsAtThePropagatedMount(t *testing.T) {
	for _, destination := range []string{"/volumes", "/volumes/deep/"} {
		t.Run(destination, func(t *testing.T) {
			w := newRuncWorld(t).start()
			data := mountedDir(t)
			before := mountsBelow(t, data)
			id := w.createProbeAs("p", func(c *types.PluginConfig) {
				c.PropagatedMount = "/volumes"
				mount := bind("/nowhere", destination)
				mount.Name, mount.Settable = "data", []string{"source"}
				c.Mounts = []types.PluginMount{mount}
			}, "tell="+filepath.Join("/", destination, "made"), listenStep, "wait=")
			assert.NilError(t, w.Set(id, []string{"data.source=" + data}))
			relative, err := filepath.Rel("/volumes", filepath.Join("/", destination))
			assert.NilError(t, err)
			for range 2 {
				w.enable(id)
				for _, place := range []string{data, filepath.Join(w.config.Root, id, "propagated-mount", relative)} {
					_, err := os.Stat(filepath.Join(place, "made"))
					assert.Check(t, err, "in %s", place)
				}
				usage, err := w.DiskUsage(t.Context())
				assert.NilError(t, err)
				assert.Check(t, usage.Plugins[0].Data < 1<<20, "the host's files count as the plugin's")
				assert.NilError(t, w.Disable(id, nil))
			}
			w.enable(id)
			assert.NilError(t, w.Remove(id, &backend.PluginRmConfig{ForceRemove: true}))
			_, err = os.Stat(filepath.Join(data, "made"))
			assert.Check(t, err, "removal deleted the host's files")
			assert.Check(t, is.DeepEqual(mountsBelow(t, data), before), "removal unmounted the host's")
			assert.Check(t, is.Len(mountsBelow(t, w.config.Root), 0))
			w.check("after a removal")
		})
	}
}

// TestRootsBehindLinks reaches both directories of a manager through links, and
// the sockets by paths that are too long.
func TestRootsBehindLinks(t *testing.T) {
	for _, tc := range []struct {
		name string
		at   func(t *testing.T, dir string) string
	}{
		{"a link", func(t *testing.T, dir string) string {
			link := filepath.Join(t.TempDir(), "link")
			assert.NilError(t, os.Symlink(dir, link))
			return link
		}},
		{"below a link", func(t *testing.T, dir string) string {
			link := filepath.Join(t.TempDir(), "link")
			assert.NilError(t, os.Symlink(dir, link))
			return filepath.Join(link, "new/"+strings.Repeat("long", 25))
		}},
		{"a link to a link, and dots", func(t *testing.T, dir string) string {
			links := t.TempDir()
			assert.NilError(t, os.Symlink(dir, filepath.Join(links, "one")))
			assert.NilError(t, os.Symlink("one", filepath.Join(links, "two")))
			return links + "/./two/../" + filepath.Base(dir)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newRuncWorld(t)
			real := t.TempDir()
			w.config.Root = tc.at(t, filepath.Join(real))
			w.config.ExecRoot = tc.at(t, w.config.ExecRoot)
			w.start()
			id := w.createProbeAs("p", func(c *types.PluginConfig) { c.PropagatedMount = "/volumes" }, "tell=/volumes/made", listenStep, "wait=")
			for range 2 {
				w.enable(id)
				assert.NilError(t, w.Disable(id, nil))
			}
			usage, err := w.DiskUsage(t.Context())
			assert.NilError(t, err)
			assert.Check(t, usage.Plugins[0].Data > 0)
			w.enable(id)
			w.restart()
			assert.Check(t, is.Equal(w.status(id).State, "running"))
			assert.NilError(t, w.Remove(id, &backend.PluginRmConfig{ForceRemove: true}))
			garbage, err := w.Prune(t.Context())
			assert.NilError(t, err)
			assert.Check(t, is.Equal(garbage.Leftovers.Count, 0))
			w.Shutdown()
			assert.Check(t, is.Len(mountsBelow(t, real), 0))
			w.check("behind links")
		})
	}
}
