// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
)

// FuzzConfig: any bytes are a config that can be run, or are refused with a typed
// error. An accepted config survives a round trip to disk, and mounts only below
// the plugin's root.
func FuzzConfig(f *testing.F) {
	published, err := filepath.Glob("testdata/configs/*.json")
	assert.NilError(f, err)
	for _, name := range published {
		data, err := os.ReadFile(name)
		assert.NilError(f, err)
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, data string) {
		config, err := ParseConfig([]byte(data))
		if err != nil {
			checkInvalidConfig(t, err)
			return
		}
		again, err := ParseConfig(encode(&config))
		assert.NilError(t, err)
		assert.DeepEqual(t, encode(&again), encode(&config))
		if err := ValidateConfig(config); err != nil {
			checkInvalidConfig(t, err)
			return
		}
		p := &Plugin{PluginObj: types.Plugin{ID: exampleID, Name: "fuzzed", Config: config}, Rootfs: "/plugins/x/rootfs"}
		p.InitEmptySettings()
		if err := p.Validate(); err != nil {
			checkInvalidConfig(t, err)
			assert.Assert(t, len(ConfigWarnings(config)) > 0, "there is no warning: %v", err)
			return
		}
		checkSpec(t, p)
	})
}

func checkInvalidConfig(t *testing.T, err error) {
	t.Helper()
	var invalid *InvalidConfigError
	assert.Assert(t, errors.As(err, &invalid) && errdefs.IsInvalidArgument(err), "%v", err)
}

// checkSpec makes the spec of a plugin that was found sound.
func checkSpec(t *testing.T, p *Plugin) {
	t.Helper()
	p.PluginObj.Settings.Devices = nil // they would be looked for on this host
	spec, err := newSpec(p.Clone(), "/exec", func(string) bool { return true })
	if err != nil {
		assert.ErrorType(t, err, &InvalidSpecError{})
		return
	}
	for _, mount := range spec.Mounts {
		assert.Assert(t, path.IsAbs(mount.Destination) && path.Clean(mount.Destination) == mount.Destination && mount.Destination != "/", mount.Destination)
	}
}
