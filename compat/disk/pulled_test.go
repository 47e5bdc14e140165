// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"io"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	registryservice "github.com/docker/docker/registry"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/compat/internal/subject"
	"github.com/dovetailhq/plugin/plugintest/registry"
)

// shelf is a registry and a host with access to it.
type shelf struct {
	*host
	registry *registry.Registry
	name     string // of the repository
	grants   types.PluginPrivileges
}

func newShelf(t *testing.T, versions ...string) *shelf {
	t.Helper()
	s := &shelf{host: newHost(t, false), registry: registry.New()}
	service, err := registryservice.NewService(registryservice.ServiceOptions{})
	assert.NilError(t, err)
	s.config.Registry = service
	s.name = s.registry.Start(t) + "/dovetail/pulled"
	for _, version := range versions {
		publish(t, s.registry, version)
	}
	return s
}

func (s *shelf) ref(tag string) reference.Named {
	s.t.Helper()
	named, err := reference.ParseNormalizedNamed(s.name + ":" + tag)
	assert.NilError(s.t, err)
	return named
}

// pull installs a tag under its own name.
func (s *shelf) pull(m subject.Subject, tag string) {
	s.t.Helper()
	var err error
	s.grants, err = m.Privileges(s.t.Context(), s.ref(tag), nil, nil)
	assert.NilError(s.t, err)
	assert.NilError(s.t, m.Pull(s.t.Context(), s.ref(tag), s.name+":"+tag, nil, s.grants, io.Discard, "", nil))
}

// manifest returns the registry's manifest of a tag.
func (s *shelf) manifest(tag string) string {
	_, data := s.registry.Manifest("dovetail/pulled", tag)
	return string(data)
}

// TestPushOfWhatDockerPulled: docker records no layers of plugins that it
// pulled. They survive our collection, and our push uploads exactly the pulled
// plugin.
func TestPushOfWhatDockerPulled(t *testing.T) {
	s := newShelf(t, "v1")
	want := s.manifest("v1")
	s.under(subject.Docker, func(m subject.Subject) { s.pull(m, "v1") })
	assert.Equal(t, len(s.records()[s.name+":v1"].Blobsums), 0, "docker has changed, and this proves nothing any more")
	s.under(subject.Dovetail, func(m subject.Subject) {
		m.GC()
		s.registry.Remove("dovetail/pulled")
		assert.NilError(t, m.Push(t.Context(), s.name+":v1", nil, nil, io.Discard))
	})
	assert.Equal(t, s.manifest("v1"), want)

	for name, start := range subject.All() {
		elsewhere := &shelf{host: newHost(t, false), registry: s.registry, name: s.name}
		elsewhere.config.Registry = s.config.Registry
		elsewhere.under(start, func(m subject.Subject) {
			elsewhere.pull(m, "v1")
			p, err := m.Inspect(s.name + ":v1")
			assert.NilError(t, err)
			assert.Equal(t, p.Config.Documentation, "v1", name)
		})
	}
}

// TestPushOfWhatDockerCollected: docker's collection deletes the manifest of a
// pulled plugin, and its layers, which the record does not name. Our push fails
// and leaves the tag unchanged. An upgrade to the same version repairs the
// plugin.
func TestPushOfWhatDockerCollected(t *testing.T) {
	s := newShelf(t, "v1")
	want := s.manifest("v1")
	s.under(subject.Docker, func(m subject.Subject) {
		s.pull(m, "v1")
		m.GC()
	})
	s.under(subject.Dovetail, func(m subject.Subject) {
		m.GC()
		err := m.Push(t.Context(), s.name+":v1", nil, nil, io.Discard)
		assert.Check(t, errdefs.IsNotFound(err), "%v", err)
		assert.ErrorContains(t, err, "manifest "+string(s.records()[s.name+":v1"].Manifest)+" is not in the local store")
		assert.Equal(t, s.manifest("v1"), want)
		assert.NilError(t, m.Upgrade(t.Context(), s.ref("v1"), s.name+":v1", nil, nil, s.grants, io.Discard))
		assert.NilError(t, m.Push(t.Context(), s.name+":v1", nil, nil, io.Discard))
		assert.Equal(t, s.manifest("v1"), want)
	})
}

// TestPushOfWhatDockerUpgraded: after docker's upgrade the record names the
// config and layers of the earlier version. Our push uploads the new version or
// nothing.
func TestPushOfWhatDockerUpgraded(t *testing.T) {
	for name, collect := range map[string]bool{"kept": false, "collected": true} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t, "v1", "v2")
			want := s.manifest("v2")
			s.under(subject.Dovetail, func(m subject.Subject) { s.pull(m, "v1") }) // records its layers
			s.under(subject.Docker, func(m subject.Subject) {
				assert.NilError(t, m.Upgrade(t.Context(), s.ref("v2"), s.name+":v1", nil, nil, s.grants, io.Discard))
				if collect {
					m.GC()
				}
			})
			s.under(subject.Dovetail, func(m subject.Subject) {
				m.GC()
				err := m.Push(t.Context(), s.name+":v1", nil, nil, io.Discard)
				if collect {
					assert.Check(t, errdefs.IsNotFound(err), "%v", err)
					assert.Check(t, s.manifest("v1") != want)
				} else {
					assert.NilError(t, err)
					assert.Equal(t, s.manifest("v1"), want)
				}
				assert.NilError(t, m.Remove(s.name+":v1", &backend.PluginRmConfig{}))
			})
		})
	}
}
