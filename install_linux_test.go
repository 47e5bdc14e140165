// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"archive/tar"
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/testenv"
)

// FuzzNames: a name for a new plugin is refused as a name, or finds the plugin
// again. Looking up any reference does no harm.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"", "p", "a/b:c", "a.example:5000/p", "P", "../p", "p@" + fuzzedDigest, "p:t@" + fuzzedDigest, fullID("a"), fullID("a")[:12]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ps := NewStore()
		assert.NilError(t, ps.Add(stored(fullID("a"), "taken:latest", true, "volumedriver")))
		found, err := ps.GetV2Plugin(text)
		if err != nil {
			assert.Assert(t, errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err), "%v", err)
		} else {
			assert.Assert(t, strings.HasPrefix(found.GetID(), text) || strings.Contains(text, "taken"), "%q found the plugin", text)
		}

		name, err := parseNewName(text)
		if err != nil {
			assert.Assert(t, errdefs.IsInvalidArgument(err), "%v", err)
			return
		}
		again, err := parseNewName(name)
		assert.NilError(t, err)
		assert.Equal(t, again, name)
		named, err := reference.ParseNormalizedNamed(text)
		assert.NilError(t, err)
		pulled, err := pullName(named, "")
		assert.NilError(t, err)
		assert.Equal(t, pulled, name)

		if name != "taken:latest" {
			assert.NilError(t, ps.Add(stored(fullID("b"), name, true, "volumedriver")))
			found, err = ps.GetV2Plugin(name)
			assert.NilError(t, err)
			assert.Equal(t, found.Name(), name)
		}
	})
}

const fuzzedDigest = "sha256:" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// TestUpgradeEndsOnlyItself begins an upgrade between the two ends of another one: that
// of its swap, and that of its verb, which can wait for its client in between.
func TestUpgradeEndsOnlyItself(t *testing.T) {
	testenv.NeedsRoot(t, "unpacking owners")
	pm, err := NewManager(ManagerConfig{
		Root:           t.TempDir(),
		ExecRoot:       t.TempDir(),
		CreateExecutor: func(*Manager) (Executor, error) { return nil, nil },
	})
	assert.NilError(t, err)
	defer pm.Shutdown()
	assert.NilError(t, pm.CreateFromContext(t.Context(), smallContext(t), &types.PluginCreateOptions{RepoName: "p"}))

	u, endFirst, err := pm.beginUpgrade(t.Context(), "p")
	assert.NilError(t, err)
	u.endUpgrade()
	assert.Check(t, !u.isIn(lifecycle.Upgrading))
	_, endSecond, err := pm.beginUpgrade(t.Context(), "p")
	assert.NilError(t, err)
	endFirst()
	assert.Check(t, u.isIn(lifecycle.Upgrading), "the end of the first upgrade ended the second")
	endSecond()
	assert.Check(t, !u.isIn(lifecycle.Upgrading))
}

// smallContext returns a build context with an empty rootfs.
func smallContext(t *testing.T) io.ReadCloser {
	t.Helper()
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	const config = `{"entrypoint": ["/plugin"], "interface": {"types": ["docker.dummy/1.0"], "socket": "p.sock"}}`
	assert.NilError(t, archive.WriteHeader(&tar.Header{Name: "config.json", Mode: 0o644, Size: int64(len(config))}))
	_, err := archive.Write([]byte(config))
	assert.NilError(t, err)
	assert.NilError(t, archive.WriteHeader(&tar.Header{Name: "rootfs/", Mode: 0o755, Typeflag: tar.TypeDir}))
	assert.NilError(t, archive.Close())
	return io.NopCloser(&buffer)
}
