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
	"slices"

	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/registry"
	"github.com/dovetailhq/plugin/test/crash/history"
)

// Repository is where a registry has the versions, each under its own tag.
const Repository = "crash/plugin"

// content is what one version is: the same version is the same bytes.
func content(version string) (types.PluginConfig, map[string]string) {
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Description = version
	value := history.DefaultDebug
	config.Env = []types.PluginEnv{{Name: "DEBUG", Value: &value, Settable: []string{"value"}}}
	if os.Geteuid() == 0 {
		config.PropagatedMount = "/data"
	}
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

// BuildContext returns a version for a manager to create.
func BuildContext(version string) io.ReadCloser {
	return plugintest.BuildContext(content(version))
}

// PutVersions puts all versions into a registry, for a manager to pull: in two
// layers, of which the lower one is common to all, and its files but one are
// replaced or deleted by the upper.
func PutVersions(r *registry.Registry) error {
	lower, lowerID, err := pack(map[string]string{"common": "to all versions", "plugin": "a draft", "data/draft": "x"})
	if err != nil {
		return err
	}
	for i := range versions {
		version := versionName(i)
		config, files := content(version)
		files["data/.wh.draft"] = ""
		upper, upperID, err := pack(files)
		if err != nil {
			return err
		}
		config.Rootfs = &types.PluginConfigRootfs{Type: "layers", DiffIds: []string{lowerID, upperID}}
		encoded, err := json.Marshal(config)
		if err != nil {
			return err
		}
		r.PutPlugin(Repository, version, encoded, lower, upper)
	}
	return nil
}

func versionName(index int) string { return fmt.Sprintf("v%d", index) }

// pack makes a layer, and returns the digest of its archive too.
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
