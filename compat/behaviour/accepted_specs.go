// SPDX-License-Identifier: Apache-2.0

package behaviour

// specDifferences are differences in the specs that an executor gets.
var specDifferences = Group{"OCI specs", []Difference{
	{
		Docker: "a capability twice if the config asks for a default one", Ours: "once",
		Why:  "the set is the same",
		Seen: []Seen{effect("specs/capabilities, enable|pull/enable|push/enable", "spec.process.capabilities.*", `[*"CAP_MKNOD"*"CAP_MKNOD"*]`, `[*"CAP_SYS_ADMIN"]`)},
	},
	{
		Docker: "devices are allowed one by one next to a rule for all", Ours: "only the rule for all",
		Why:  "the effect is the same",
		Seen: []Seen{effect("pull/enable|push/enable", "spec.linux.resources.devices*", something, "")},
	},
	{
		Docker: "PATH twice if the plugin sets it", Ours: "only the plugin's PATH",
		Why:  "programs differ in which of two they use",
		Seen: []Seen{effect("specs/environment, enable", "spec.process.env", `["PATH=/usr/*"PATH=/mine"*`, `["A=1","PATH=/mine","EMPTY="]`)},
	},
	{
		Docker: "two mounts at one place if a plugin mounts over a default", Ours: "the plugin's mount, and at the sockets' directory the manager's",
		Why: "the lower mount is hidden; a plugin without its socket directory can't start",
		Seen: []Seen{
			effect("specs/mount over a default, enable|specs/mount at the sockets, enable", "spec.mounts*", anything, anything),
		},
	},
	{
		Docker: "a relative working directory is kept", Ours: "it is taken as below /",
		Why:  "the [OCI specification](https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md#process) requires an absolute path",
		Seen: []Seen{effect("specs/relative working directory, enable", "spec.process.cwd", `"work"`, `"/work"`)},
	},
	{
		Docker: "capabilities as the config writes them", Ours: "the capabilities that Linux has, in capitals and with their prefix",
		Why:  "runtimes ignore names that they don't know, and know capitals only",
		Seen: []Seen{effect("specs/odd capabilities, enable", "spec.process.capabilities.*", something, something)},
	},
	{
		Docker: "destinations of mounts as the config writes them", Ours: "absolute and clean paths",
		Why: "runtimes clean them, and warn",
		Seen: []Seen{
			effect("specs/odd places of mounts, enable|specs/odd propagated mount, enable", "spec.mounts*", anything, anything),
		},
	},
	{
		Docker: "a bind keeps another type", Ours: "its type is bind",
		Why:  "runtimes decide by the option",
		Seen: []Seen{effect("specs/odd types of mounts, enable", "spec.mounts*", anything, anything)},
	},
	{
		Docker: "options without a meaning for a bind are kept", Ours: "they are left out; `readonly` becomes `ro`, and a bind without an option becomes `rbind`",
		Why:  "runc 1.2 and newer refuse options that older versions ignored",
		Seen: []Seen{effect("specs/odd options of mounts, enable", "spec.mounts*", anything, anything)},
	},
	{
		Docker: "refuses a mount of a file system without a source", Ours: "the source is the name of its type",
		Why:  "temporary file systems have none",
		Seen: onlyOurs("specs/odd mount without a source, enable", unclassed, "*mount source is not specified*", effects),
	},
	{
		Docker: "refuses a device with an empty path", Ours: "leaves the device out",
		Why:  "its path was not set",
		Seen: onlyOurs("specs/odd device, enable", unclassed, something, effects),
	},
	{
		Docker: "runs as root, whatever `config.user` is", Ours: "runs as `config.user`",
		Why:  "the author asks for it",
		Seen: []Seen{effect("specs/user, enable", "spec.process.user.*", "0", "1000")},
	},
}}
