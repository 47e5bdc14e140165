// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/registry"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
	"github.com/dovetailhq/plugin/test/hostile/corpus"
)

// world is a manager and a registry with a harmless plugin and a hostile one.
type world struct {
	manager  *plugin.Manager
	root     string
	registry *fake.Registry
	host     string
	hostile  corpus.Case
}

const installed = "p"

func newWorld(hostile corpus.Case, dir string) (*world, error) {
	w := &world{root: filepath.Join(dir, "root"), registry: fake.New(), hostile: hostile}
	server := httptest.NewServer(w.registry)
	w.host = strings.TrimPrefix(server.URL, "http://")
	executor := &plugintest.Executor{}
	pm, err := plugin.NewManager(plugin.ManagerConfig{
		Store:           plugin.NewStore(),
		Root:            w.root,
		ExecRoot:        filepath.Join(dir, "x"),
		RegistryService: endpoints{},
		CreateExecutor:  func(*plugin.Manager) (plugin.Executor, error) { return executor, nil },
	})
	w.manager = pm
	return w, err
}

// endpoints resolves every host to plain http.
type endpoints struct{}

func (endpoints) LookupPullEndpoints(host string) ([]registry.APIEndpoint, error) {
	return []registry.APIEndpoint{{URL: &url.URL{Scheme: "http", Host: host}}}, nil
}

func (e endpoints) LookupPushEndpoints(host string) ([]registry.APIEndpoint, error) {
	return e.LookupPullEndpoints(host)
}

// prepare sets a verb up, and returns the verb.
func (w *world) prepare(verb string) (func(context.Context) error, error) {
	harmless := corpus.Case{}
	switch verb {
	case "create":
		source, err := w.hostile.Context()
		return func(ctx context.Context) error { return w.create(ctx, source) }, err
	case "creates":
		return w.creates, nil
	case "pull", "privileges":
		grants, err := w.publish("hostile", w.hostile)
		if verb == "privileges" {
			return func(ctx context.Context) error {
				_, err := w.manager.Privileges(ctx, w.reference("hostile"), nil, nil)
				return err
			}, err
		}
		return func(ctx context.Context) error {
			return w.manager.Pull(ctx, w.reference("hostile"), installed, nil, nil, grants, io.Discard)
		}, err
	case "upgrade":
		source, err := harmless.Context()
		if err == nil {
			err = w.create(context.Background(), source)
		}
		grants, publishErr := w.publish("hostile", w.hostile)
		return func(ctx context.Context) error {
			return w.manager.Upgrade(ctx, w.reference("hostile"), installed, nil, nil, grants, io.Discard)
		}, errors.Join(err, publishErr)
	case "set":
		source, err := w.hostile.Context()
		if err == nil {
			err = w.create(context.Background(), source)
		}
		arguments := w.hostile.Args()
		return func(context.Context) error { return w.manager.Set(installed, arguments) }, err
	}
	return nil, fmt.Errorf("no verb is called %q", verb)
}

func (w *world) create(ctx context.Context, source []byte) error {
	return w.manager.CreateFromContext(ctx, io.NopCloser(bytes.NewReader(source)), &types.PluginCreateOptions{RepoName: installed})
}

func (w *world) reference(tag string) reference.Named {
	named, err := reference.ParseNormalizedNamed(w.host + "/group/plugin:" + tag)
	if err != nil {
		panic(err) // the registry's own address and a constant
	}
	return named
}

// publish puts a case into the registry and returns its privileges. All plugins
// of the corpus ask for the same.
func (w *world) publish(tag string, c corpus.Case) (types.PluginPrivileges, error) {
	layers, err := c.Packed()
	if err != nil {
		return nil, err
	}
	config, err := c.EncodedConfig()
	if err != nil {
		return nil, err
	}
	small, err := json.Marshal(plugintest.Config("docker.volumedriver/1.0"))
	if err != nil {
		return nil, err
	}
	w.registry.PutPlugin("group/plugin", "small", small)
	grants, err := w.manager.Privileges(context.Background(), w.reference("small"), nil, nil)
	if err != nil {
		return nil, err
	}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: fake.MediaTypeManifest,
		Config:    w.describe(fake.MediaTypeConfig, config),
	}
	for _, layer := range layers {
		manifest.Layers = append(manifest.Layers, w.describe(fake.MediaTypeLayer, layer))
	}
	manifest.Layers = slices.Repeat(manifest.Layers, max(1, c.Repeat))
	w.registry.PutDocument("group/plugin", tag, manifest.MediaType, manifest)
	return grants, nil
}

func (w *world) describe(mediaType string, data []byte) ocispec.Descriptor {
	w.registry.PutBlob("group/plugin", data)
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// sweep removes the installed plugin, and fails if anything is left.
func (w *world) sweep() error {
	list, err := w.manager.List(filters.NewArgs())
	if err != nil {
		return err
	}
	if _, err := w.manager.DiskUsage(context.Background()); err != nil {
		return err
	}
	for _, p := range list {
		if err := w.manager.Remove(p.ID, &backend.PluginRmConfig{ForceRemove: true}); err != nil {
			return err
		}
	}
	if _, err := w.manager.Prune(context.Background()); err != nil {
		return err
	}
	return w.empty()
}

// empty fails if the root has files that belong to no plugin.
func (w *world) empty() error {
	for _, below := range []string{".", "tmp", "storage/blobs/sha256", "storage/ingest"} {
		entries, err := os.ReadDir(filepath.Join(w.root, below))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for _, entry := range entries {
			if below != "." || entry.Name() != "tmp" && entry.Name() != "storage" {
				return fmt.Errorf("%s is left in %s", entry.Name(), below)
			}
		}
	}
	return nil
}
