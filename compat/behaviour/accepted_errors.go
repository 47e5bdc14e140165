// SPDX-License-Identifier: Apache-2.0

package behaviour

const malformed = "create from bad contexts/config is another type|create from bad contexts/config is empty|create from bad contexts/config is not JSON|" +
	"create from bad contexts/empty|create from bad contexts/no config|create from bad contexts/no files|" +
	"create from bad contexts/not an archive|create from bad contexts/truncated"

const unsound = "create from bad contexts/config is too big|create from bad contexts/no rootfs|" +
	"create from bad contexts/control characters in a source|create from bad contexts/the host's devices as a mount|" +
	"create from unusual contexts/config twice"

// classDifferences are differences between errors that both managers return.
var classDifferences = Group{"Classes and texts of errors", []Difference{
	{
		Docker: "500 for a malformed build context", Ours: "InvalidParameter, 400",
		Why:  "it is the client's mistake",
		Seen: classed(malformed, unclassed, invalid, something, something),
	},
	{
		Docker: "500 for a malformed name", Ours: "InvalidParameter, 400",
		Why:  "it is the client's mistake",
		Seen: classed("create with bad names/name*", unclassed, invalid, something, "invalid plugin name *"),
	},
	{
		Docker: "`failed to parse NAME`", Ours: "`invalid plugin name NAME`",
		Why:  "the problem comes first",
		Seen: []Seen{text("pull by other references/bad name", `failed to parse *`, `invalid plugin name *`)},
	},
	{
		Docker: "500 for a setting that is not settable", Ours: "InvalidParameter, 400, and the text lists the settable values",
		Why:  "it is the client's mistake, and the list is what the user needs next",
		Seen: classed("set/*", unclassed, invalid, something, "*(settable in this plugin: *)"),
	},
	{
		Docker: "500 for a setting of an enabled plugin", Ours: "Conflict, 409, with docker's text and the plugin's name",
		Why:  "the plugin's state prevents it, as with other verbs",
		Seen: classed("enable and disable/set while enabled", unclassed, conflict, "cannot set on an active plugin, disable plugin before setting", "cannot set on an active plugin, disable plugin before setting: *"),
	},
	{
		Docker: "a refusal without advice", Ours: "docker's text, then what to do",
		Why: "the user can act at once",
		Seen: []Seen{
			text("enable and disable/remove while enabled", "plugin * is enabled", "plugin * is enabled: disable it first*"),
			text("many of one prefix/*", "multiple plugins found for PREFIX", "multiple plugins found for PREFIX: use more characters of the ID"),
		},
	},
	{
		Docker: "the store's error repeats the caller's name for a disabled plugin", Ours: "the full name",
		Why: "logs can be searched for the name",
		Seen: []Seen{
			text("get by capability/*|in use/release*", "plugin dovetail/one found but disabled", "plugin dovetail/one:latest found but disabled"),
		},
	},
	{
		Docker: "500 without a class for a failed start, with the last step's error", Ours: "System, 500: phase, time, exit code, last output and, where it is known, the cause",
		Why: "`dial unix: no such file` does not explain a crash",
		Seen: classed("executor refuses/enable|plugin ends at once/enable|plugin never listens/enable|remove during a start/enable|inspect during a start/enable",
			unclassed, system, something, `start plugin "dovetail/one:latest": *`),
	},
	{
		Docker: "500 without a class for a start that a disable or removal interrupts", Ours: "Conflict, 409: the start was interrupted, and by which verb",
		Why: "nothing is wrong with the plugin",
		Seen: classed("disable*during a start/enable|remove by force during a start/enable",
			unclassed, conflict, something, `start plugin "dovetail/one:latest": *its start was interrupted by a *`),
	},
	{
		Docker: "500 for a start that the plugin's config, settings or host directories rule out", Ours: "InvalidParameter, 400, naming the mount or device",
		Why:  "the user can fix it",
		Seen: classed("specs/*, enable", unclassed, invalid, something, `start plugin *`),
	},
	{
		Docker: "500 for grants that don't match", Ours: "InvalidParameter, 400, with the missing and the excess grants",
		Why:  "scripts that grant can report them",
		Seen: classed("pull/pull with*|upgrade/upgrade without grants", unclassed, invalid, "incorrect privileges", "incorrect privilege: *"),
	},
	{
		Docker: "a pull to an existing name is InvalidParameter, 400", Ours: "Conflict, 409, as with create",
		Why:  "one class for one cause",
		Seen: []Seen{class("pull/pull again", invalid, conflict)},
	},
	{
		Docker: "500 for a registry's refusal", Ours: "the registry's status: 401, 403, 404",
		Why: "a user without an account learns it",
		Seen: all(
			classed("pull from a bad registry/that forbids|push/push to a registry that forbids", unclassed, forbidden, something, "*REGISTRY: 403 Forbidden*"),
			classed("pull from a bad registry/without blobs", unclassed, notFound, something, "*404 Not Found*"),
			classed("pull with an account/no account|pull with an account/wrong password", unclassed, unauthorized, something, "*401 Unauthorized*"),
		),
	},
	{
		Docker: "500 for bytes that do not match their digest", Ours: "DataLoss, with the blob and both sizes",
		Why:  "it differs from a failing disk",
		Seen: classed("pull from a bad registry/that lies", unclassed, dataLoss, something, "*blob sha256:ID*"),
	},
	{
		Docker: "`error resolving plugin reference: REFERENCE: not found`", Ours: "`pull REFERENCE: HOST: not found`",
		Why: "it names the host, which can be a mirror",
		Seen: []Seen{
			text("pull by other references/unknown*|upgrade/upgrade to an unknown tag", "error resolving plugin reference: *: not found", "pull *: REGISTRY: not found"),
		},
	},
	{
		Docker: "500 for an image that is not a plugin, after layers were downloaded", Ours: "InvalidParameter, 400, before any layer is requested",
		Why: "the config shows it",
		Seen: classed("pull what is not a plugin/image*|pull what is not a plugin/damaged|pull what is not a plugin/nonsense|pull what is not a plugin/other|pull what is not a plugin/garbage|pull what is not a plugin/empty",
			unclassed, invalid, something, something),
	},
	{
		Docker: "the privileges of a missing image, or of an image that is not a plugin, are empty", Ours: "NotFound or InvalidParameter",
		Why: "otherwise a user grants nothing and then sees the pull fail",
		Seen: all(
			onlyDocker("pull by other references/privileges of an unknown tag", notFound, "*not found", "result"),
			onlyDocker("pull what is not a plugin/*, privileges", invalid, something, "result*"),
		),
	},
	{
		Docker: "panics without options, an executor, a registry service, an account that a registry requires, or a device's path", Ours: "uses the default, or returns NotImplemented",
		Why: "a daemon must survive it",
		Seen: all(
			classed("create with bad names/no options", unclassed, invalid, "panic: *", "invalid plugin name *"),
			onlyOurs("enable and disable without a config/*", unclassed, "panic: *", effects),
			onlyOurs("specs/device without a path, enable", unclassed, "panic: *", effects),
			classed("no executor/enable", unclassed, notImplementedStart, "panic: *", "*no executor*"),
			classed("no registry service/*", unclassed, notImplemented, "panic: *", "*no RegistryService*"),
		),
	},
	{
		Docker: "500 for an invalid manager config", Ours: "InvalidParameter, with all problems at once",
		Why:  "it is the caller's mistake",
		Seen: classed("bad configs/*", unclassed, invalid, something, "invalid plugin manager config: *"),
	},
	{
		Docker: "a plugin with an unreadable record is missing", Ours: "it is listed as broken, verbs on it fail with System and the reason, and it can be removed by its ID",
		Why:  "nothing is lost silently",
		Seen: classed("restart on a damaged root/inspect the damaged", notFound, system, something, "plugin * is broken: *"),
	},
}}
