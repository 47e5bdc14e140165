// SPDX-License-Identifier: Apache-2.0

package behaviour

// verbDifferences are effects that only one of the managers has.
var verbDifferences = Group{"Effects of verbs", []Difference{
	{
		Docker: "installs a config that reaches more of the host than it shows, that hides what is granted, that comes twice, or that exceeds 1 MiB", Ours: "InvalidParameter, 400, with all problems of the config",
		Why:  "it would reach more of the host than its grants allow, or disguise the question about grants",
		Seen: onlyDocker(unsound, invalid, something, effects),
	},
	{
		Docker: "refuses content that is installed, or was and is not collected yet", Ours: "installs it and shares the blobs",
		Why:  "authors remove and create the same plugin often",
		Seen: onlyOurs("create the same twice/*", alreadyExists, "content *: already exists", effects),
	},
	{
		Docker: "creates a plugin although the request was cancelled", Ours: "stops, and leaves nothing",
		Why:  "the client is gone",
		Seen: onlyDocker("create from bad contexts/cancelled", cancelled, "*context canceled", effects),
	},
	{
		Docker: "accepts a negative timeout", Ours: "InvalidParameter, 400",
		Why: "each call to the plugin would fail",
		Seen: all(
			onlyDocker("negative timeout/enable", invalid, "invalid timeout: *", effects),
			[]Seen{effect("negative timeout/inspect", "result.Enabled", "true", "false")},
		),
	},
	{
		Docker: "a disable during a start is refused, and the plugin runs a moment later", Ours: "the disable wins and the start fails",
		Why: "the latest request wins",
		Seen: []Seen{
			class("disable*during a start/disable", conflict, ok),
			text("disable*during a start/disable", "plugin is already disabled: *", ""),
		},
	},
	{
		Docker: "a plugin that does not start when the daemon starts is disabled, and the daemon waits 12.5 s for it",
		Ours:   "it stays enabled and is retried; the daemon waits 5 s, and look-ups fail with Unavailable, 503, until it serves",
		Why:    "a reboot must not disable plugins",
		Seen: all(
			[]Seen{
				effect("restart with a plugin that does not start/inspect", "result.Enabled", "false", "true"),
				effect("restart with a plugin that does not start/get", "events", "", "EventStartFailed *"),
			},
			classed("restart with a plugin that does not start/get", conflict, unavailable,
				"plugin dovetail/one found but disabled", "plugin dovetail/one:latest is enabled but not available*"),
		),
	},
	{
		Docker: "ignores the plugins of docker 1.12, in `plugins.json` and directories next to it", Ours: "imports them at the start, and finds them by their old IDs",
		Why: "they are lost otherwise",
		Seen: []Seen{
			effect("root of docker 1.12/afterwards", "names", anything, `*dovetail/old:latest*`),
			effect("root of docker 1.12/by the old id", "found", "false", "true"),
		},
	},
	{
		Docker: "a manager works after its Shutdown", Ours: "Unavailable, 503",
		Why: "another manager can have the directory by then",
		Seen: all(
			onlyDocker("after the shutdown/*", unavailable, "plugin root ROOT is no longer managed *", effects),
			[]Seen{effect("after the shutdown/inspect", "result.Enabled", "true", "false")},
		),
	},
	{
		Docker: "the filter `capability` requires all of a plugin's types to match", Ours: "any match is enough",
		Why:  "a plugin with two types has each of them",
		Seen: []Seen{effect("list/by capability*", "result", anything, `*"dovetail/both:latest"*`)},
	},
	{
		Docker: "references can be released below zero", Ours: "they stay at zero",
		Why:  "otherwise a plugin could be removed while it is in use",
		Seen: []Seen{effect("get by capability/release too often|handle of a plugin/released too often", "references", "-1", "0")},
	},
	{
		Docker: "scoped paths can lead out of the plugin's directories", Ours: "they can't",
		Why:  "the plugin chooses them",
		Seen: []Seen{effect("handle of a plugin/scoped path /a/../../../etc|propagated mount/scoped path /dovetail-propagated/../x", "result", something, "ROOT/ID(dovetail/one:latest)/rootfs/*")},
	},
	{
		Docker: "a set that fails keeps the changes before the failure", Ours: "it changes all settings or none",
		Why:  "no user asks for half a change",
		Seen: []Seen{effect("set/DEBUG=4 *", "settings.Env", `["DEBUG=4","FIXED=1"]`, `["DEBUG=0","FIXED=1"]`)},
	},
	{
		Docker: "args are split at spaces, and empty args are one empty word", Ours: "args are split as in a shell, and empty args mean no words",
		Why: "an argument can hold a space",
		Seen: append([]Seen{
			effect(`set/["args='one word' two"]`, "settings.Args", `["'one","word'","two"]`, `["one word","two"]`),
			effect("set/args=", "settings.Args", `[""]`, `[]`),
			effect(`set/["args=\"open"]`, "settings.Args", `["\"open"]`, `["--quiet"]`),
		}, onlyDocker(`set/["args=\"open"]`, invalid, "*unterminated quote*", "none")[:2]...),
	},
	{
		Docker: "a name without a field is refused if more than the source of a mount is settable", Ours: "the name stands for the source",
		Why: "neither package can set any other field of a mount",
		Seen: append(onlyOurs("set/any=/x", unclassed, "multiple fields are settable, one must be specified", "events"),
			effect("set/any=/x", "settings.Mounts[/any].Source", `"/srv/any"`, `"/x"`)),
	},
	{
		Docker: "an upgrade keeps every setting, also old defaults", Ours: "it keeps the user's settings, and takes the new defaults for all others",
		Why: "a new version can need them",
		Seen: []Seen{
			effect("upgrade*/inspect", "result.Settings.Env", `*"LEFT=1"]`, `*"LEFT=2"]`),
			effect("upgrade*/enable", "spec.process.env", `*"LEFT=1"]`, `*"LEFT=2"]`),
		},
	},
	{
		Docker: "after an upgrade a mount uses its default source, although Inspect shows the source that is set", Ours: "it uses the source that is set",
		Why:  "a plugin must not write to another directory",
		Seen: []Seen{effect("upgrade of what was set/enable", "spec.mounts[/data].source", `"/usr"`, `"/srv"`)},
	},
	{
		Docker: "installs under a name with a digest", Ours: "InvalidParameter, 400",
		Why:  "after an upgrade the digest would be wrong",
		Seen: onlyDocker("pull by other references/name with a digest", invalid, "invalid plugin name *", effects),
	},
	{
		Docker: "bytes that did not match their digest make every later pull fail", Ours: "they are discarded and requested again",
		Why:  "a registry can be repaired",
		Seen: onlyOurs("pull from a bad registry/that is good again", unclassed, "failed commit on ref *", effects),
	},
	{
		Docker: "asks a token server for the class `repository(plugin)`", Ours: "also for `repository`, if the first is refused",
		Why:  "not every server knows the class",
		Seen: []Seen{effect("pull with an account/*", "scopes", anything, `*["repository:dovetail/one:pull"]*`)},
	},
	{
		Docker: "a pull needs a name, and a reference with a tag or digest", Ours: "both have defaults: the reference, and the tag latest",
		Why: "docker's API router sets them; embedders without it need not",
		Seen: all(
			onlyOurs("pull by other references/no tag", unclassed, something, effects),
			onlyOurs("pull by other references/inspect no tag", notFound, something, "result"),
			onlyOurs("pull without a name/pull", invalid, something, effects),
			[]Seen{
				effect("pull without a name/pull", "names", "null", something),
				effect("pull by other references/no tag|pull without a name/pull", "progress", "blobs: 0", "*Pulling from*"),
			},
		),
	},
}}
