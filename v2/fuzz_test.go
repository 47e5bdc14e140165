// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"gotest.tools/v3/assert"
)

// FuzzRecord writes each record that it can read, and reads the same record again.
// A record that can't be read or run gives a typed error.
func FuzzRecord(f *testing.F) {
	f.Add(string(encode(example())))
	kept, err := filepath.Glob("testdata/records/*.json")
	assert.NilError(f, err)
	for _, name := range kept {
		data, err := os.ReadFile(name)
		assert.NilError(f, err)
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, data string) {
		first := new(Plugin)
		if err := first.UnmarshalJSON([]byte(data)); err != nil {
			assert.ErrorType(t, err, &InvalidRecordError{})
			return
		}
		written, err := json.Marshal(first)
		assert.NilError(t, err)

		second := new(Plugin)
		assert.NilError(t, json.Unmarshal(written, second), "%s", written)
		assert.DeepEqual(t, second.PluginObj, first.PluginObj)
		assert.Equal(t, string(encode(second)), string(written))
		if err := first.Validate(); err != nil {
			assert.ErrorType(t, err, &InvalidConfigError{})
		}
	})
}

// FuzzSet: an argument is refused with a typed error and no effect, or changes
// the settings only, to something that survives a restart.
func FuzzSet(f *testing.F) {
	f.Add("DEBUG=1", "state.source=/other")
	f.Add("flags=a 'b c' \\d", "DEBUG")
	f.Add("flags='", "")
	f.Fuzz(func(t *testing.T, first, second string) {
		p := example()
		before := p.Snapshot()
		err := p.Set([]string{first, second})
		assert.DeepEqual(t, p.PluginObj.Config, before.Config)
		if err != nil {
			assert.ErrorType(t, err, &InvalidSettingError{})
			assert.Assert(t, errdefs.IsInvalidArgument(err))
			assert.DeepEqual(t, p.PluginObj.Settings, before.Settings)
			return
		}
		for _, arg := range []string{first, second} {
			key, _, _ := strings.Cut(arg, "=")
			name, _, _ := strings.Cut(key, ".")
			assert.Assert(t, name == "DEBUG" || name == "TOKEN" || name == "state" || name == "fuse" || name == "flags")
		}
		restarted := new(Plugin)
		assert.NilError(t, json.Unmarshal(encode(p), restarted))
		assert.DeepEqual(t, restarted.PluginObj.Settings, p.PluginObj.Settings)
	})
}
