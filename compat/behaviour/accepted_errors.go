package behaviour

const malformed = "create from bad contexts/config is another type|create from bad contexts/config is empty|create from bad contexts/config is no JSON|" +
	"create from bad contexts/empty|create from bad contexts/no config|create from bad contexts/no files|" +
	"create from bad contexts/not an archive|create from bad contexts/truncated"

const unsound = "create from bad contexts/config is too big|create from bad contexts/config of nothing|create from bad contexts/no rootfs|" +
	"create from bad contexts/control characters in a source|create from bad contexts/socket elsewhere|create from bad contexts/the host's devices as a mount|" +
	"create from unusual contexts/config twice"

// classDifferences are of errors that both answer with.
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
		Why:  "what is wrong comes first",
		Seen: []Seen{text("pull by other references/bad name", `failed to parse *`, `invalid plugin name *`)},
	},
	{
		Docker: "500 for a setting that can't be set", Ours: "InvalidParameter, 400, and the text lists what can be set",
		Why:  "it is the client's mistake, and the next question answered",
		Seen: classed("set/*", unclassed, invalid, something, "*(settable in this plugin: *)"),
	},
	{
		Docker: "500 for a setting of an enabled plugin", Ours: "Conflict, 409; docker's text, with the plugin's name",
		Why:  "the state of the plugin is in the way, as with other verbs",
		Seen: classed("enable and disable/set while enabled", unclassed, conflict, "cannot set on an active plugin, disable plugin before setting", "cannot set on an active plugin, disable plugin before setting: *"),
	},
	{
		Docker: "a refusal alone", Ours: "docker's words, and what to do about it",
		Why: "it saves a question",
		Seen: []Seen{
			text("enable and disable/remove while enabled", "plugin * is enabled", "plugin * is enabled: disable it first*"),
			text("many of one prefix/*", "multiple plugins found for PREFIX", "multiple plugins found for PREFIX: give more characters of the id"),
		},
	},
	{
		Docker: "the store calls a disabled plugin as its caller did", Ours: "by its full name",
		Why: "logs can be searched for it",
		Seen: []Seen{
			text("get by capability/*|in use/release*", "plugin dovetail/one found but disabled", "plugin dovetail/one:latest found but disabled"),
		},
	},
	{
		Docker: "500 without a class for a start that fails, with the last step's error", Ours: "System, 500: phase, time, exit code, last output and, where it can be told, the cause",
		Why: "`dial unix: no such file` says nothing about a plugin that crashed",
		Seen: classed("executor refuses/enable|plugin ends at once/enable|plugin never listens/enable|remove during a start/enable|inspect during a start/enable",
			unclassed, system, something, `start plugin "dovetail/one:latest": *`),
	},
	{
		Docker: "500 without a class for a start that a disable or removal interrupts", Ours: "Conflict, 409: the start was interrupted, and by what",
		Why: "nothing is wrong with the plugin",
		Seen: classed("disable*during a start/enable|remove by force during a start/enable",
			unclassed, conflict, something, `start plugin "dovetail/one:latest": *its start was interrupted by a *`),
	},
	{
		Docker: "500 for a start that a plugin's config, settings or host directories forbid", Ours: "InvalidParameter, 400, with the mount or device",
		Why:  "the user can mend it",
		Seen: classed("specs/*, enable", unclassed, invalid, something, `start plugin *`),
	},
	{
		Docker: "500 for grants that don't match", Ours: "InvalidParameter, 400, with what is missing and what is too much",
		Why:  "who grants by script sees which",
		Seen: classed("pull/pull with*|upgrade/upgrade without grants", unclassed, invalid, "incorrect privileges", "incorrect privilege: *"),
	},
	{
		Docker: "a pull of a name that is taken is InvalidParameter, 400", Ours: "Conflict, 409, as with create",
		Why:  "one class for one cause",
		Seen: []Seen{class("pull/pull again", invalid, conflict)},
	},
	{
		Docker: "500 for what a registry refuses", Ours: "the registry's own: 401, 403, 404",
		Why: "who lacks an account is told so",
		Seen: all(
			classed("pull from a bad registry/that forbids|push/push to one that forbids", unclassed, forbidden, something, "*REGISTRY: 403 Forbidden*"),
			classed("pull from a bad registry/without blobs", unclassed, notFound, something, "*404 Not Found*"),
			classed("pull with an account/no account|pull with an account/wrong password", unclassed, unauthorized, something, "*401 Unauthorized*"),
		),
	},
	{
		Docker: "500 for bytes that are not what their digest says", Ours: "DataLoss, with the blob and both sizes",
		Why:  "it is told apart from a failing disk",
		Seen: classed("pull from a bad registry/that lies", unclassed, dataLoss, something, "*blob sha256:ID*"),
	},
	{
		Docker: "`error resolving plugin reference: REFERENCE: not found`", Ours: "`pull REFERENCE: HOST: not found`",
		Why: "it names the host that was asked, which may be a mirror",
		Seen: []Seen{
			text("pull by other references/unknown*|upgrade/upgrade to an unknown tag", "error resolving plugin reference: *: not found", "pull *: REGISTRY: not found"),
		},
	},
	{
		Docker: "500 for what is no plugin, after layers were downloaded", Ours: "InvalidParameter, 400, before any is asked for",
		Why: "it is known from the config",
		Seen: classed("pull what is no plugin/image*|pull what is no plugin/damaged|pull what is no plugin/nonsense|pull what is no plugin/other|pull what is no plugin/garbage|pull what is no plugin/empty",
			unclassed, invalid, something, something),
	},
	{
		Docker: "privileges of what is not there, or is no plugin, are none", Ours: "NotFound or InvalidParameter",
		Why: "a user should not be asked to grant nothing, and then see the pull fail",
		Seen: all(
			onlyDocker("pull by other references/privileges of an unknown tag", notFound, "*not found", "result"),
			onlyDocker("pull what is no plugin/*, privileges", invalid, something, "result*"),
		),
	},
	{
		Docker: "panics without options, an executor, a registry service, an account for a registry that wants one, or a device's path", Ours: "answers as if the default was given, or NotImplemented",
		Why: "a daemon must not die of it",
		Seen: all(
			classed("create with bad names/no options", unclassed, invalid, "panic: *", "invalid plugin name *"),
			onlyOurs("enable and disable without a config/*", unclassed, "panic: *", effects),
			onlyOurs("specs/device without a path, enable", unclassed, "panic: *", effects),
			classed("no executor/enable", unclassed, notImplementedStart, "panic: *", "*no executor*"),
			classed("no registry service/*", unclassed, notImplemented, "panic: *", "*no RegistryService*"),
		),
	},
	{
		Docker: "500 for a manager's config", Ours: "InvalidParameter, and all problems at once",
		Why:  "it is the caller's",
		Seen: classed("bad configs/*", unclassed, invalid, something, "invalid plugin manager config: *"),
	},
	{
		Docker: "a plugin whose record can't be read is not there", Ours: "it is listed as broken, refuses verbs with System and the reason, and can be removed by its id",
		Why:  "nothing is lost silently",
		Seen: classed("restart on a damaged root/inspect the damaged", notFound, system, something, "plugin * is broken: *"),
	},
}}
