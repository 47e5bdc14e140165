package behaviour

// specDifferences are of what an executor is asked to run.
var specDifferences = Group{"OCI specs", []Difference{
	{
		Docker: "a capability twice if the config asks for a default one", Ours: "once",
		Why:  "the set is the same",
		Seen: []Seen{effect("specs/capabilities, enable|pull/enable|push/enable", "spec.process.capabilities.*", `[*"CAP_MKNOD"*"CAP_MKNOD"*]`, `[*"CAP_SYS_ADMIN"]`)},
	},
	{
		Docker: "devices are allowed one by one beside all of them", Ours: "all of them",
		Why:  "the rule is the same",
		Seen: []Seen{effect("pull/enable|push/enable", "spec.linux.resources.devices*", something, "")},
	},
	{
		Docker: "PATH twice if the plugin has one", Ours: "the plugin's",
		Why:  "which of two counts differs from program to program",
		Seen: []Seen{effect("specs/environment, enable", "spec.process.env", `["PATH=/usr/*"PATH=/mine"*`, `["A=1","PATH=/mine","EMPTY="]`)},
	},
	{
		Docker: "two mounts at one place if a plugin mounts over a default", Ours: "the plugin's, and at the sockets the manager's",
		Why: "the lower one can't be seen; a plugin without its socket directory can't start",
		Seen: []Seen{
			effect("specs/mount over a default, enable|specs/mount at the sockets, enable", "spec.mounts*", anything, anything),
		},
	},
	{
		Docker: "a relative working directory as it is", Ours: "below /",
		Why:  "the OCI specification wants an absolute one",
		Seen: []Seen{effect("specs/relative working directory, enable", "spec.process.cwd", `"work"`, `"/work"`)},
	},
	{
		Docker: "capabilities as they are written", Ours: "those that Linux has, in capitals and with their prefix",
		Why:  "runtimes leave out what they don't know, and know capitals only",
		Seen: []Seen{effect("specs/odd capabilities, enable", "spec.process.capabilities.*", something, something)},
	},
	{
		Docker: "places of mounts as they are written", Ours: "absolute and clean",
		Why: "runtimes take them so, and warn",
		Seen: []Seen{
			effect("specs/odd places of mounts, enable|specs/odd propagated mount, enable", "spec.mounts*", anything, anything),
		},
	},
	{
		Docker: "a bind of another type", Ours: "of type bind",
		Why:  "runtimes go by the option, and take it so",
		Seen: []Seen{effect("specs/odd types of mounts, enable", "spec.mounts*", anything, anything)},
	},
	{
		Docker: "words that mean nothing to a bind", Ours: "without them; `readonly` is `ro`, and a bind without an option `rbind`",
		Why:  "runc 1.2 and newer refuse what older ones ignored",
		Seen: []Seen{effect("specs/odd options of mounts, enable", "spec.mounts*", anything, anything)},
	},
	{
		Docker: "refuses a file system without a source", Ours: "the name of its type",
		Why:  "temporary file systems have none",
		Seen: onlyOurs("specs/odd mount without a source, enable", unclassed, "*mount source is not specified*", effects),
	},
	{
		Docker: "refuses a device whose path is empty", Ours: "without it",
		Why:  "it was not set",
		Seen: onlyOurs("specs/odd device, enable", unclassed, something, effects),
	},
	{
		Docker: "root, whatever `config.user` says", Ours: "`config.user`",
		Why:  "it is what it is for",
		Seen: []Seen{effect("specs/user, enable", "spec.process.user.*", "0", "1000")},
	},
}}
