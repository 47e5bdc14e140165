// SPDX-License-Identifier: Apache-2.0

package drive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/registry"
	"github.com/dovetailhq/plugin/test/crash/history"
)

// Versions makes the content of plugins. The zero value makes plugins that
// share no mounts.
type Versions struct {
	// PropagatedMount is the path of the propagated mount in the plugins' file
	// systems.
	PropagatedMount string
	// OneLayer makes one layer in the registry instead of two.
	OneLayer bool
}

// content returns the config and files of a version. Equal versions have equal
// bytes.
func (v Versions) content(version string) (types.PluginConfig, map[string]string) {
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Description = version
	value := history.DefaultDebug
	config.Env = []types.PluginEnv{{Name: "DEBUG", Value: &value, Settable: []string{"value"}}}
	config.PropagatedMount = v.PropagatedMount
	random := rand.New(rand.NewPCG(uint64(len(version)), uint64(version[len(version)-1])))
	files := map[string]string{"plugin": "program of " + version}
	for _, size := range []int{0, 100, 5000, 70000} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		files[fmt.Sprintf("data/%d", size)] = string(data)
	}
	return config, files
}

// BuildContext returns a version as a build context.
func (v Versions) BuildContext(version string) io.ReadCloser {
	return plugintest.BuildContext(v.content(version))
}

// Differences returns the differences between a plugin's file system and its
// version.
func (v Versions) Differences(rootfs, version string) []string {
	_, files := v.content(version)
	var differences []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		data, err := os.ReadFile(filepath.Join(rootfs, filepath.FromSlash(name)))
		switch {
		case err != nil:
			differences = append(differences, err.Error())
		case string(data) != files[name]:
			differences = append(differences, fmt.Sprintf("%s is not of version %s", filepath.Join(rootfs, name), version))
		}
	}
	if draft := filepath.Join(rootfs, "data", "draft"); lexists(draft) {
		differences = append(differences, draft+" should be deleted")
	}
	return differences
}

func lexists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// put puts all versions into a registry.
func (v Versions) put(r *registry.Registry) error {
	for i := range versions {
		config, files := v.content(versionName(i))
		config.Rootfs = &types.PluginConfigRootfs{Type: "layers"}
		var layers [][]byte
		for _, files := range v.layers(files) {
			layer, diffID, err := pack(files)
			if err != nil {
				return err
			}
			layers = append(layers, layer)
			config.Rootfs.DiffIds = append(config.Rootfs.DiffIds, diffID)
		}
		encoded, err := json.Marshal(config)
		if err != nil {
			return err
		}
		r.PutPlugin(repository, versionName(i), encoded, layers...)
	}
	return nil
}

// layers divides the files of a version into two layers. All versions share the
// lower layer; the upper layer replaces or deletes all of its files except one.
func (v Versions) layers(files map[string]string) []map[string]string {
	if v.OneLayer {
		return []map[string]string{files}
	}
	lower := map[string]string{"common": "to all versions", "plugin": "a draft", "data/draft": "x"}
	upper := maps.Clone(files)
	upper["data/.wh.draft"] = ""
	return []map[string]string{lower, upper}
}

func versionName(index int) string { return fmt.Sprintf("v%d", index) }

// pack returns a layer and the digest of its archive.
func pack(files map[string]string) (layer []byte, diffID string, err error) {
	var archive, packed bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(files[name]))}
		if err := w.WriteHeader(header); err != nil {
			return nil, "", err
		}
		if _, err := io.WriteString(w, files[name]); err != nil {
			return nil, "", err
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	compressor := gzip.NewWriter(&packed)
	if _, err := compressor.Write(archive.Bytes()); err != nil {
		return nil, "", err
	}
	if err := compressor.Close(); err != nil {
		return nil, "", err
	}
	return packed.Bytes(), digest.FromBytes(archive.Bytes()).String(), nil
}
