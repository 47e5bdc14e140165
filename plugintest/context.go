// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types"
)

// Config returns the config of a plugin that [Executor] can run. It has a socket
// named plugin.sock and the given interfaces, for example
// "docker.volumedriver/1.0".
func Config(interfaces ...string) types.PluginConfig {
	config := types.PluginConfig{
		Description: "a plugin for tests",
		Entrypoint:  []string{"/plugin"},
		Interface:   types.PluginConfigInterface{Socket: "plugin.sock"},
		Network:     types.PluginConfigNetwork{Type: "none"},
	}
	for _, text := range interfaces {
		prefix, rest, _ := strings.Cut(text, ".")
		capability, version, _ := strings.Cut(rest, "/")
		config.Interface.Types = append(config.Interface.Types, types.PluginInterfaceType{Prefix: prefix, Capability: capability, Version: version})
	}
	return config
}

// BuildContext returns a build context for Manager.CreateFromContext: an archive of
// config.json and a rootfs with the given files, by name below rootfs. The same
// arguments give the same bytes.
func BuildContext(config types.PluginConfig, files map[string]string) io.ReadCloser {
	encoded, err := json.Marshal(config)
	if err != nil {
		panic("plugintest: encode config: " + err.Error()) // impossible for its types
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	add := func(name string, typeflag byte, mode int64, content string) {
		header := &tar.Header{Name: name, Typeflag: typeflag, Mode: mode, Size: int64(len(content))}
		if err := w.WriteHeader(header); err != nil {
			panic("plugintest: write header of " + name + ": " + err.Error())
		}
		_, _ = io.WriteString(w, content) // writes to memory, which can't fail
	}
	add("config.json", tar.TypeReg, 0o644, string(encoded))
	add("rootfs/", tar.TypeDir, 0o755, "")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		add("rootfs/"+name, tar.TypeReg, 0o755, files[name])
	}
	_ = w.Close()
	return io.NopCloser(&archive)
}
