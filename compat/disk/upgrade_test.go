// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	registryservice "github.com/docker/docker/registry"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/compat/internal/subject"
	"github.com/dovetailhq/plugin/plugintest/registry"
)

// publish puts a version of a plugin into a registry. A file in the plugin
// names the version.
func publish(t *testing.T, r *registry.Registry, version string) {
	t.Helper()
	publishContent(t, r, version, version)
}

// publishContent publishes a version with the given content in its layer.
func publishContent(t *testing.T, r *registry.Registry, version, content string) {
	t.Helper()
	var plain, packed bytes.Buffer
	archive := tar.NewWriter(&plain)
	assert.NilError(t, archive.WriteHeader(&tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}))
	assert.NilError(t, archive.WriteHeader(&tar.Header{Name: "version", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}))
	_, err := io.WriteString(archive, content)
	assert.NilError(t, err)
	assert.NilError(t, archive.Close())
	compressor := gzip.NewWriter(&packed)
	_, err = compressor.Write(plain.Bytes())
	assert.NilError(t, err)
	assert.NilError(t, compressor.Close())

	c := config(version)
	c.Rootfs = &types.PluginConfigRootfs{Type: "layers", DiffIds: []string{digest.FromBytes(plain.Bytes()).String()}}
	encoded, err := json.Marshal(c)
	assert.NilError(t, err)
	r.PutPlugin("dovetail/pulled", version, encoded, packed.Bytes())
}

// TestUpgradesOfTheOther: one manager pulls a plugin; the other runs, upgrades
// and pushes it; the first runs the new version, upgrades it again and removes
// it.
func TestUpgradesOfTheOther(t *testing.T) {
	tests := []struct {
		name        string
		first, next subject.Start
		// wantSources are the sources of the mount whose source was set to
		// /srv: in v2 under next, in v2 under first, and in v3. After its own
		// upgrade docker uses the default and shows the source that is set.
		wantSources [3]string
	}{
		{"docker, then ours", subject.Docker, subject.Dovetail, [3]string{"/srv", "/srv", "/tmp"}},
		{"ours, then docker", subject.Dovetail, subject.Docker, [3]string{"/tmp", "/srv", "/srv"}},
		{"docker, then docker", subject.Docker, subject.Docker, [3]string{"/tmp", "/tmp", "/tmp"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, false)
			service, err := registryservice.NewService(registryservice.ServiceOptions{})
			assert.NilError(t, err)
			h.config.Registry = service
			r := registry.New()
			name := r.Start(t) + "/dovetail/pulled"
			ref := func(version string) reference.Named {
				named, err := reference.ParseNormalizedNamed(name + ":" + version)
				assert.NilError(t, err)
				return named
			}
			for _, version := range []string{"v1", "v2", "v3"} {
				publish(t, r, version)
			}
			var grants types.PluginPrivileges
			var before map[string]types.Plugin
			h.under(tt.first, func(s subject.Subject) {
				grants, err = s.Privileges(context.Background(), ref("v1"), nil, nil)
				assert.NilError(t, err)
				assert.NilError(t, s.Pull(context.Background(), ref("v1"), "pulled:latest", nil, grants, io.Discard, "", nil))
				assert.NilError(t, s.Set("pulled", []string{"A=new value", "data.source=/srv"}))
				before = list(t, s)
			})
			h.under(tt.next, func(s subject.Subject) {
				assertSame(t, list(t, s), before)
				h.assertVersion(s, "v1", "/srv")
				assert.NilError(t, s.Upgrade(context.Background(), ref("v2"), "pulled", nil, nil, grants, io.Discard))
				h.assertVersion(s, "v2", tt.wantSources[0])
				before = list(t, s)
			})
			h.under(tt.first, func(s subject.Subject) {
				assertSame(t, list(t, s), before)
				h.assertVersion(s, "v2", tt.wantSources[1])
				assert.NilError(t, s.Upgrade(context.Background(), ref("v3"), "pulled", nil, nil, grants, io.Discard))
				h.assertVersion(s, "v3", tt.wantSources[2])
				assert.NilError(t, s.Remove("pulled", &backend.PluginRmConfig{}))
				s.GC()
			})
			assert.Equal(t, len(h.records()), 0)
		})
	}
}

// assertVersion checks that the plugin has the version and its settings, and
// runs with the mount from source.
func (h *host) assertVersion(s subject.Subject, version, source string) {
	h.t.Helper()
	p, err := s.Inspect("pulled")
	assert.NilError(h.t, err)
	assert.Equal(h.t, p.Config.Documentation, version)
	assert.DeepEqual(h.t, p.Settings.Env, []string{"A=new value", "B=2"})
	assert.Equal(h.t, *p.Settings.Mounts[0].Source, "/srv")
	content, err := os.ReadFile(filepath.Join(h.config.Root, p.ID, "rootfs", "version"))
	assert.NilError(h.t, err)
	assert.Equal(h.t, string(content), version)

	assert.NilError(h.t, s.Enable("pulled", &backend.PluginEnableConfig{Timeout: 5}))
	asked := h.executor.Specs(p.ID)
	assert.Equal(h.t, sourceOf(asked[len(asked)-1], "/data"), source)
	assert.NilError(h.t, s.Disable("pulled", &backend.PluginDisableConfig{}))
}
