// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/build"
	"github.com/dovetailhq/plugin/internal/imagefile/imagefiletest"
	"github.com/dovetailhq/plugin/plugintest"
	v2 "github.com/dovetailhq/plugin/v2"
)

const layoutConfig = `{"description":"one","entrypoint":["/plugin"],"env":[{"name":"DEBUG","value":"0","settable":["value"]}],"interface":{"socket":"plugin.sock","types":["docker.volumedriver/1.0"]},"network":{"type":"none"}}`

// layered is an image with a compressed layer, and another one over it.
func layered(t testing.TB) imagefiletest.Image {
	lower := imagefiletest.Tar(t, imagefiletest.File("plugin", "lower", 0o755), imagefiletest.File("kept", "k", 0o644))
	return imagefiletest.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		Layers:   [][]byte{imagefiletest.Gzip(t, lower), imagefiletest.Tar(t, imagefiletest.File("plugin", "upper", 0o755))},
	}
}

// buildLayout builds a plugin of an image, and returns its layout as an archive and the
// digest of its manifest.
func buildLayout(t testing.TB) (path, manifest string) {
	t.Helper()
	return buildLayoutWith(t, layoutConfig)
}

func buildLayoutWith(t testing.TB, config string) (path, manifest string) {
	t.Helper()
	b, err := build.New(t.TempDir(), build.Options{Config: []byte(config)})
	assert.NilError(t, err)
	defer func() { assert.NilError(t, b.Close()) }()
	p, err := b.Build(t.Context(), build.Source{Path: layered(t).Docker(t).WriteArchive(t)})
	assert.NilError(t, err)
	var archive bytes.Buffer
	assert.NilError(t, b.WriteLayout(t.Context(), &archive, p.Manifest))
	path = filepath.Join(t.TempDir(), "plugin.tar")
	assert.NilError(t, os.WriteFile(path, archive.Bytes(), 0o600))
	return path, p.Manifest.Digest.String()
}

// A plugin of a layout keeps its digests, and runs with the files of its layers.
func TestCreateFromLayout(t *testing.T) {
	w := newWorld(t).start()
	path, manifest := buildLayout(t)
	assert.NilError(t, w.CreateFromLayout(t.Context(), path, &types.PluginCreateOptions{RepoName: "p"}))
	p, err := w.Get("p")
	assert.NilError(t, err)
	assert.Equal(t, p.Manifest.String(), manifest)
	assert.Equal(t, len(p.Blobsums), 2)
	for name, want := range map[string]string{"plugin": "upper", "kept": "k"} {
		content, err := os.ReadFile(filepath.Join(p.Rootfs, name))
		assert.NilError(t, err)
		assert.Equal(t, string(content), want)
	}
	w.MustEnable("p")
	err = w.CreateFromLayout(t.Context(), path, &types.PluginCreateOptions{RepoName: "p"})
	assert.Check(t, errors.As(err, new(*plugin.ExistsError)), "%v", err)
	assert.NilError(t, w.Disable("p", nil))
	assert.NilError(t, plugintest.CheckRoot(w.Config.Root, plugintest.RootCheck{Manager: w.Manager}))
}

func TestCreateFromLayoutErrors(t *testing.T) {
	w := newWorld(t).start()
	valid, _ := buildLayout(t)
	data, err := os.ReadFile(valid)
	assert.NilError(t, err)
	write := func(data []byte) string {
		path := filepath.Join(t.TempDir(), "plugin.tar")
		assert.NilError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	damaged := bytes.Clone(data)
	damaged[len(damaged)/2] ^= 1
	for name, tt := range map[string]struct {
		path, want string
		is         func(error) bool
	}{
		"missing":      {filepath.Join(t.TempDir(), "gone"), "no such file", os.IsNotExist},
		"an image":     {layered(t).Docker25(t).WriteArchive(t), "it is an image, not a plugin", errdefs.IsInvalidParameter},
		"docker's":     {layered(t).Docker(t).WriteArchive(t), "it is an image, not a plugin", errdefs.IsInvalidParameter},
		"empty":        {imagefiletest.Files{}.WriteArchive(t), "it has neither oci-layout", errdefs.IsInvalidParameter},
		"cut":          {write(data[:len(data)/2]), "", errdefs.IsInvalidParameter},
		"damaged":      {write(damaged), "", errdefs.IsInvalidParameter},
		"other system": {write(bytes.ReplaceAll(data, []byte(`"architecture":"amd64"`), []byte(`"architecture":"amd65"`))), "no variant for platform", errdefs.IsNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			err := w.CreateFromLayout(t.Context(), tt.path, &types.PluginCreateOptions{RepoName: "p"})
			assert.ErrorContains(t, err, tt.want)
			assert.Check(t, tt.is(err), "%v", err)
			assert.Equal(t, w.state(), "")
			assert.NilError(t, plugintest.CheckRoot(w.Config.Root, plugintest.RootCheck{Manager: w.Manager}))
		})
	}
	err = w.CreateFromLayout(t.Context(), valid, &types.PluginCreateOptions{RepoName: "B A D"})
	assert.Check(t, errdefs.IsInvalidParameter(err), "%v", err)
	assert.Check(t, strings.Contains(err.Error(), "plugin name"))
}

// An upgrade from a layout replaces content and config, and keeps what belongs to the
// user: ID, name, settings and data.
func TestUpgradeFromLayout(t *testing.T) {
	w := newWorld(t).start()
	withData := strings.Replace(layoutConfig, "{", `{"propagatedMount":"/data",`, 1)
	first, _ := buildLayoutWith(t, strings.Replace(withData, "one", "first", 1))
	second, manifest := buildLayoutWith(t, strings.Replace(withData, `"none"`, `"host"`, 1))
	assert.NilError(t, w.CreateFromLayout(t.Context(), first, &types.PluginCreateOptions{RepoName: "p"}))
	id := w.ID("p")
	data := filepath.Join(w.Config.Root, id, "propagated-mount", "file")
	assert.NilError(t, w.Set("p", []string{"DEBUG=1"}))
	w.MustEnable("p")
	assert.NilError(t, os.WriteFile(data, []byte("kept"), 0o600))
	err := w.UpgradeFromLayout(t.Context(), second, "p")
	assert.Check(t, errors.As(err, new(*plugin.EnabledError)), "%v", err)
	assert.NilError(t, w.Disable("p", nil))

	upgrades, cancel := w.SubscribeEvents(1, plugin.EventUpgraded{})
	defer cancel()
	assert.NilError(t, w.UpgradeFromLayout(t.Context(), second, "p"))
	event := (<-upgrades).(plugin.EventUpgraded)
	assert.Equal(t, event.Plugin.ID, id)
	assert.DeepEqual(t, event.Added, types.PluginPrivileges{{Name: "network", Description: "permissions to access a network", Value: []string{"host"}}})
	p, err := w.Get("p")
	assert.NilError(t, err)
	assert.Equal(t, p.GetID(), id)
	assert.Equal(t, p.Manifest.String(), manifest)
	assert.Equal(t, w.state(), `p:latest false [DEBUG=1] "one"`)
	w.MustEnable("p")
	content, err := os.ReadFile(data)
	assert.NilError(t, err)
	assert.Equal(t, string(content), "kept")
	w.restart()
	assert.Equal(t, w.state(), `p:latest true [DEBUG=1] "one"`)
	assert.NilError(t, w.Disable("p", nil))
	assert.NilError(t, plugintest.CheckRoot(w.Config.Root, plugintest.RootCheck{Manager: w.Manager}))
}

// An upgrade from a layout that fails changes nothing, and other verbs on the plugin work
// after it.
func TestUpgradeFromLayoutErrors(t *testing.T) {
	w := newWorld(t).start()
	first, _ := buildLayout(t)
	assert.NilError(t, w.CreateFromLayout(t.Context(), first, &types.PluginCreateOptions{RepoName: "p"}))
	assert.NilError(t, w.Set("p", []string{"DEBUG=1"}))
	before := w.state()
	lost, _ := buildLayoutWith(t, strings.Replace(layoutConfig, "DEBUG", "OTHER", 1))
	for name, tt := range map[string]struct {
		path, plugin, want string
		is                 func(error) bool
	}{
		"missing layout": {filepath.Join(t.TempDir(), "gone"), "p", "no such file", os.IsNotExist},
		"missing plugin": {first, "other", "not found", errdefs.IsNotFound},
		"an image":       {layered(t).Docker25(t).WriteArchive(t), "p", "it is an image, not a plugin", errdefs.IsInvalidParameter},
		"lost settings":  {lost, "p", "DEBUG", func(err error) bool { return errors.As(err, new(*v2.LostSettingsError)) }},
	} {
		t.Run(name, func(t *testing.T) {
			err := w.UpgradeFromLayout(t.Context(), tt.path, tt.plugin)
			assert.ErrorContains(t, err, tt.want)
			assert.Check(t, tt.is(err), "%v", err)
			assert.Equal(t, w.state(), before)
			w.GC() // CheckRoot reads blobs that the collector may delete
			assert.NilError(t, plugintest.CheckRoot(w.Config.Root, plugintest.RootCheck{Manager: w.Manager}))
		})
	}
	assert.NilError(t, w.UpgradeFromLayout(plugin.DropLostSettings(t.Context()), lost, "p"))
	assert.Equal(t, w.state(), `p:latest false [OTHER=0] "one"`)
}
