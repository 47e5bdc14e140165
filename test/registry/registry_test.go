// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	registrytypes "github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/pkg/progress"
	"github.com/docker/docker/registry"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/remote"
)

var account = &registrytypes.AuthConfig{Username: user, Password: password}

// TestRegistries takes a plugin through its life in each registry.
func TestRegistries(t *testing.T) {
	tests := []struct {
		name    string
		start   func(*testing.T) string
		account *registrytypes.AuthConfig
	}{
		{"distribution", func(t *testing.T) string { return distribution(t) }, nil},
		{"distribution with accounts", func(t *testing.T) string { return distribution(t, withAccount(t)) }, account},
		{"debian", debian, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			host := test.start(t)
			maker := newMachine(t, host, test.account)
			target := maker.make(t)

			pushed, err := maker.client.Push(t.Context(), maker.request(t, "group/plugin:v1"), target.Digest)
			assert.NilError(t, err)
			assert.Equal(t, pushed, remote.Pushed{Tag: "v1", Digest: target.Digest, Size: target.Size})
			told := maker.told.actions()
			assert.Equal(t, told["Pushed"], 4)

			_, err = maker.client.Push(t.Context(), maker.request(t, "group/copy:v1"), target.Digest, named(t, host+"/group/plugin"))
			assert.NilError(t, err)
			assert.Equal(t, maker.told.actions()["Mounted from "+host+"/group/plugin"], 4)
			_, err = maker.client.Push(t.Context(), maker.request(t, "group/copy:v2"), target.Digest)
			assert.NilError(t, err)
			assert.Equal(t, maker.told.actions()["Layer already exists"], 4)

			for _, name := range []string{"group/plugin:v1", "group/copy:v2", "group/plugin@" + target.Digest.String(), "group/plugin:v1@" + target.Digest.String()} {
				user := newMachine(t, host, test.account)
				assert.Equal(t, user.pull(t, name), target.Digest, name)
				assert.DeepEqual(t, user.layers, maker.layers)
			}

			_, err = maker.client.Resolve(t.Context(), maker.request(t, "group/plugin:v9"))
			assert.Check(t, errdefs.IsNotFound(err), "%v", err)
			_, err = maker.client.Resolve(t.Context(), maker.request(t, "no/such"))
			assert.Check(t, errdefs.IsNotFound(err), "%v", err)
		})
	}
}

func TestStrangersStayOutside(t *testing.T) {
	host := distribution(t, withAccount(t))
	wrong := &registrytypes.AuthConfig{Username: user, Password: "guess"}
	for _, who := range []*registrytypes.AuthConfig{nil, wrong} {
		m := newMachine(t, host, who)
		_, err := m.client.Resolve(t.Context(), m.request(t, "group/plugin"))
		assert.Check(t, errdefs.IsUnauthorized(err), "%v", err)
		_, err = m.client.Push(t.Context(), m.request(t, "group/plugin"), m.make(t).Digest)
		assert.Check(t, errdefs.IsUnauthorized(err), "%v", err)
		assert.Check(t, is.ErrorContains(err, host))
	}
}

// A mirror returns the same plugin as the registry behind it. When the mirror
// is gone, the registry is used.
func TestMirror(t *testing.T) {
	host := distribution(t)
	maker := newMachine(t, host, nil)
	target := maker.make(t)
	_, err := maker.client.Push(t.Context(), maker.request(t, "group/plugin:v1"), target.Digest)
	assert.NilError(t, err)
	for _, mirror := range []string{distribution(t, mirrorOf(host)), "127.0.0.1:1"} {
		user := newMachine(t, host, nil, mirror)
		assert.Equal(t, user.pull(t, "group/plugin:v1"), target.Digest)
		assert.DeepEqual(t, user.layers, maker.layers)
	}
}

// A broken download is resumed where it broke.
func TestResume(t *testing.T) {
	for name, start := range map[string]func(*testing.T) string{"distribution": func(t *testing.T) string { return distribution(t) }, "debian": debian} {
		t.Run(name, func(t *testing.T) {
			host := start(t)
			maker := newMachine(t, host, nil)
			target := maker.make(t)
			_, err := maker.client.Push(t.Context(), maker.request(t, "group/plugin:v1"), target.Digest)
			assert.NilError(t, err)
			user := newMachine(t, between(t, host, 70000, 10), nil)
			assert.Equal(t, user.pull(t, "group/plugin:v1"), target.Digest)
			assert.DeepEqual(t, user.layers, maker.layers)
		})
	}
}

// machine is a store with a registry client.
type machine struct {
	host    string
	account *registrytypes.AuthConfig
	store   *blobs.Store
	client  *remote.Client
	told    *recorder
	layers  []digest.Digest // of all plugins made or pulled
}

func newMachine(t *testing.T, host string, account *registrytypes.AuthConfig, mirrors ...string) *machine {
	t.Helper()
	store, err := blobs.Open(filepath.Join(t.TempDir(), "storage"), nil)
	assert.NilError(t, err)
	var endpoints endpoints
	for _, mirror := range mirrors {
		endpoints = append(endpoints, registry.APIEndpoint{Mirror: true, URL: &url.URL{Scheme: "http", Host: mirror}})
	}
	endpoints = append(endpoints, registry.APIEndpoint{URL: &url.URL{Scheme: "http", Host: host}})
	client := remote.New(remote.Options{Blobs: store, Endpoints: endpoints, RetryWait: time.Millisecond, Transfers: 1})
	return &machine{host: host, account: account, store: store, client: client, told: &recorder{}}
}

type endpoints []registry.APIEndpoint

func (e endpoints) LookupPullEndpoints(string) ([]registry.APIEndpoint, error) { return e, nil }

func (m *machine) request(t *testing.T, name string) remote.Request {
	t.Helper()
	return remote.Request{Reference: named(t, m.host+"/"+name), Auth: m.account, Pin: m.store.NewPin(), Progress: m.told}
}

func named(t *testing.T, name string) reference.Named {
	t.Helper()
	parsed, err := reference.ParseNormalizedNamed(name)
	assert.NilError(t, err)
	return parsed
}

// make puts a plugin with three layers into the store.
func (m *machine) make(t *testing.T) ocispec.Descriptor {
	t.Helper()
	pin := m.store.NewPin()
	put := func(mediaType string, data []byte) ocispec.Descriptor {
		id, err := m.store.Put(t.Context(), pin, data)
		assert.NilError(t, err)
		return ocispec.Descriptor{MediaType: mediaType, Digest: id, Size: int64(len(data))}
	}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: "application/vnd.docker.distribution.manifest.v2+json",
		Config:    put(remote.MediaTypeConfig, []byte(`{"description":"a plugin"}`)),
	}
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{10, 200000, 300000} {
		data := make([]byte, size)
		_, _ = random.Read(data)
		layer := put(ocispec.MediaTypeImageLayer, data)
		layer.MediaType = "application/vnd.docker.image.rootfs.diff.tar.gzip"
		manifest.Layers = append(manifest.Layers, layer)
		m.layers = append(m.layers, layer.Digest)
	}
	data, err := json.Marshal(manifest)
	assert.NilError(t, err)
	return put(manifest.MediaType, data)
}

// pull pulls a plugin, reads its layers, and returns its manifest's digest.
func (m *machine) pull(t *testing.T, name string) digest.Digest {
	t.Helper()
	p, err := m.client.Resolve(t.Context(), m.request(t, name))
	assert.NilError(t, err)
	defer p.Close()
	assert.NilError(t, p.Fetch(t.Context(), func(ctx context.Context, layers []*remote.Layer) error {
		for _, layer := range layers {
			blob, err := layer.Open(ctx)
			if err != nil {
				return err
			}
			data, err := io.ReadAll(blob)
			if err != nil {
				return err
			}
			assert.NilError(t, blob.Close())
			id, err := digest.FromReader(bytes.NewReader(data))
			assert.NilError(t, err)
			m.layers = append(m.layers, id)
		}
		return nil
	}))
	return p.Manifest.Digest
}

// recorder counts progress since the last query.
type recorder struct {
	mu  sync.Mutex
	all []progress.Progress
}

func (r *recorder) WriteProgress(p progress.Progress) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, p)
	return nil
}

func (r *recorder) actions() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := map[string]int{}
	for _, p := range r.all {
		counts[p.Action]++
	}
	r.all = nil
	return counts
}
