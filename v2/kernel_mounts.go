// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"path"
	"slices"
	"strings"

	"github.com/docker/docker/api/types"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hostFileSystems show the host's state in any container: all devices, and all
// cgroups with the limits of other processes. binfmt_misc can make the host run a
// program as root.
var hostFileSystems = []string{"binfmt_misc", "cgroup2", "cpuset", "devtmpfs"}

// isUnconfined reports whether a config requests all devices and CAP_SYS_ADMIN,
// which allow everything that the kernel's file systems allow.
func isUnconfined(c types.PluginConfig) bool {
	return c.Linux.AllowAllDevices && slices.Contains(knownCapabilities(c.Linux.Capabilities), "CAP_SYS_ADMIN")
}

// confine applies the restrictions of the default mounts to the plugin's own
// mounts of type proc, sysfs and cgroup: masked and read-only paths, read-only
// mounts.
func confine(spec *specs.Spec, own []specs.Mount) {
	masked, readonly := spec.Linux.MaskedPaths, slices.Clone(spec.Linux.ReadonlyPaths)
	for i, mount := range own {
		switch mount.Type {
		case "proc":
			masked = append(masked, moved(spec.Linux.MaskedPaths, "/proc", mount.Destination)...)
			readonly = append(readonly, moved(spec.Linux.ReadonlyPaths, "/proc", mount.Destination)...)
		case "sysfs":
			masked = append(masked, moved(spec.Linux.MaskedPaths, "/sys", mount.Destination)...)
			own[i].Options = readOnly(mount.Options)
		case "cgroup":
			own[i].Options = readOnly(mount.Options)
		}
	}
	spec.Linux.MaskedPaths, spec.Linux.ReadonlyPaths = masked, readonly
}

// moved returns the paths below the directory from, moved below the directory to.
func moved(paths []string, from, to string) []string {
	if from == to {
		return nil
	}
	var result []string
	for _, name := range paths {
		if rest, ok := strings.CutPrefix(name, from+"/"); ok {
			result = append(result, path.Join(to, rest))
		}
	}
	return result
}

func readOnly(options []string) []string {
	return append(slices.DeleteFunc(slices.Clone(options), func(word string) bool { return word == "rw" || word == "ro" }), "ro")
}
