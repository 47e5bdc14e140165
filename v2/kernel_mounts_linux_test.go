// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func fileSystem(typ, destination string, options ...string) types.PluginMount {
	return types.PluginMount{Name: destination, Type: typ, Source: pointer("tmpfs"), Destination: destination, Options: options}
}

// TestKernelMountsAreConfined mounts the kernel's file systems a second time, and
// in the place of the default ones.
func TestKernelMountsAreConfined(t *testing.T) {
	defaults := oci.DefaultSpec().Linux
	isOf := func(directory string) func(string) bool {
		return func(name string) bool { return strings.HasPrefix(name, directory+"/") }
	}
	for _, tc := range []struct {
		name         string
		mount        types.PluginMount
		options      []string
		moreMasked   int
		moreReadonly int
	}{
		{"proc", fileSystem("proc", "/p"), nil, len(moved(defaults.MaskedPaths, "/proc", "/p")), len(moved(defaults.ReadonlyPaths, "/proc", "/p"))},
		{"proc at its place", fileSystem("proc", "/proc"), nil, 0, 0},
		{"sysfs", fileSystem("sysfs", "/s", "rw", "nosuid"), []string{"nosuid", "ro"}, len(moved(defaults.MaskedPaths, "/sys", "/s")), 0},
		{"sysfs at its place", fileSystem("sysfs", "/sys"), []string{"ro"}, 0, 0},
		{"cgroup", fileSystem("cgroup", "/c", "readonly"), []string{"ro"}, 0, 0},
		{"cgroup at its place", fileSystem("cgroup", "/sys/fs/cgroup", "rw"), []string{"ro"}, 0, 0},
		{"a bind of that type", fileSystem("proc", "/p", "bind"), []string{"bind"}, 0, 0},
		{"another file system", fileSystem("tmpfs", "/t"), nil, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := minimal()
			p.PluginObj.Config.Mounts = []types.PluginMount{tc.mount}
			p.PluginObj.Config.Linux.Capabilities = []string{"CAP_SYS_ADMIN"}
			spec := specOf(t, p)
			at := slices.IndexFunc(spec.Mounts, func(m specs.Mount) bool { return m.Destination == tc.mount.Destination })
			assert.DeepEqual(t, spec.Mounts[at].Options, tc.options)
			assert.Equal(t, len(spec.Linux.MaskedPaths), len(defaults.MaskedPaths)+tc.moreMasked)
			assert.Equal(t, len(spec.Linux.ReadonlyPaths), len(defaults.ReadonlyPaths)+tc.moreReadonly)
			if tc.moreMasked > 0 {
				assert.Check(t, slices.ContainsFunc(spec.Linux.MaskedPaths, isOf(tc.mount.Destination)))
			}

			p.PluginObj.Config.Linux.AllowAllDevices = true
			spec = specOf(t, p)
			assert.Equal(t, len(spec.Linux.MaskedPaths), len(defaults.MaskedPaths), "all was asked for")
			assert.Check(t, is.DeepEqual(spec.Mounts[at].Options, runtimeOptions(tc.mount)))
		})
	}
	assert.Check(t, slices.Contains(moved(defaults.ReadonlyPaths, "/proc", "/p"), "/p/sys"))
	assert.Check(t, slices.Contains(moved(defaults.MaskedPaths, "/proc", "/p"), "/p/kcore"))
}

// TestHostsFileSystemsAreAskedFor refuses what shows more than any other grant of
// the config allows.
func TestHostsFileSystemsAreAskedFor(t *testing.T) {
	for _, typ := range hostFileSystems {
		for _, tc := range []struct {
			name    string
			change  func(*types.PluginConfig)
			refused bool
		}{
			{"nothing else", func(*types.PluginConfig) {}, true},
			{"all devices", func(c *types.PluginConfig) { c.Linux.AllowAllDevices = true }, true},
			{"a capability", func(c *types.PluginConfig) { c.Linux.Capabilities = []string{"CAP_SYS_ADMIN"} }, true},
			{"both", func(c *types.PluginConfig) {
				c.Linux.AllowAllDevices, c.Linux.Capabilities = true, []string{"sys_admin"}
			}, false},
			{"a bind", func(c *types.PluginConfig) { c.Mounts[0].Options = []string{"rbind"} }, false},
		} {
			t.Run(typ+"/"+tc.name, func(t *testing.T) {
				config := sound()
				config.Mounts = []types.PluginMount{fileSystem(typ, "/x")}
				tc.change(&config)
				p := &Plugin{PluginObj: types.Plugin{Config: config}}
				p.InitEmptySettings()
				for _, err := range []error{ValidateConfig(config), p.Validate()} {
					if tc.refused {
						assert.Check(t, is.ErrorContains(err, `mounts[0].type "`+typ+`" shows the host's files`))
					} else {
						assert.Check(t, err)
					}
				}
			})
		}
	}
}
