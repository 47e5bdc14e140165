package behaviour

// verbDifferences are of what one does and the other does not.
var verbDifferences = Group{"What verbs do", []Difference{
	{
		Docker: "installs configs that no start can run, that reach more of the host than they say, that hide what is granted, or that come twice or with over 1 MiB", Ours: "InvalidParameter, 400, with all that is wrong with the config",
		Why:  "it would fail at each start, reach more of the host than its grants say, or paint over the question what is granted",
		Seen: onlyDocker(unsound, invalid, something, effects),
	},
	{
		Docker: "refuses content that it has, or had and did not collect yet", Ours: "installs it; blobs are shared",
		Why:  "removing and creating a plugin again is what authors do all day",
		Seen: onlyOurs("create the same twice/*", alreadyExists, "content *: already exists", effects),
	},
	{
		Docker: "creates although the request was cancelled", Ours: "stops, and leaves nothing",
		Why:  "the client is gone",
		Seen: onlyDocker("create from bad contexts/cancelled", cancelled, "*context canceled", effects),
	},
	{
		Docker: "takes a negative timeout", Ours: "InvalidParameter, 400",
		Why: "each call to the plugin would fail",
		Seen: all(
			onlyDocker("negative timeout/enable", invalid, "invalid timeout: *", effects),
			[]Seen{effect("negative timeout/inspect", "result.Enabled", "true", "false")},
		),
	},
	{
		Docker: "a disable during a start is refused, and the plugin runs a moment later", Ours: "the disable wins and the start fails",
		Why: "the newest wish counts",
		Seen: []Seen{
			class("disable*during a start/disable", conflict, ok),
			text("disable*during a start/disable", "plugin is already disabled: *", ""),
		},
	},
	{
		Docker: "a plugin that does not start as the daemon starts is disabled, and the daemon waits 12.5 s for it",
		Ours:   "it stays enabled, and is tried again; the daemon waits 5 s, and look-ups answer Unavailable, 503, until it serves",
		Why:    "a reboot must not turn plugins off",
		Seen: all(
			[]Seen{
				effect("restart with one that does not start/inspect", "result.Enabled", "false", "true"),
				effect("restart with one that does not start/get", "events", "", "EventStartFailed *"),
			},
			classed("restart with one that does not start/get", conflict, unavailable,
				"plugin dovetail/one found but disabled", "plugin dovetail/one:latest is enabled but not available*"),
		),
	},
	{
		Docker: "a manager goes on after its Shutdown", Ours: "Unavailable, 503",
		Why: "another may have the directory by then",
		Seen: all(
			onlyDocker("after the shutdown/*", unavailable, "plugin root ROOT is no longer managed *", effects),
			[]Seen{effect("after the shutdown/inspect", "result.Enabled", "true", "false")},
		),
	},
	{
		Docker: "the filter `capability` wants all of a plugin's types to match", Ours: "any one",
		Why:  "a plugin of two kinds is of each kind",
		Seen: []Seen{effect("list/by capability*", "result", anything, `*"dovetail/both:latest"*`)},
	},
	{
		Docker: "references can be released below zero", Ours: "they stay at zero",
		Why:  "the plugin could be removed while it is in use",
		Seen: []Seen{effect("get by capability/release too often|handle of a plugin/released too often", "references", "-1", "0")},
	},
	{
		Docker: "scoped paths can lead out of the plugin's directories", Ours: "they can't",
		Why:  "the plugin chooses them",
		Seen: []Seen{effect("handle of a plugin/scoped path /a/../../../etc|propagated mount/scoped path /dovetail-propagated/../x", "result", something, "ROOT/ID(dovetail/one:latest)/rootfs/*")},
	},
	{
		Docker: "a set that fails keeps what came before the failure", Ours: "all or nothing",
		Why:  "half of a change is nobody's wish",
		Seen: []Seen{effect("set/DEBUG=4 *", "settings.Env", `["DEBUG=4","FIXED=1"]`, `["DEBUG=0","FIXED=1"]`)},
	},
	{
		Docker: "args are split at spaces, and none is one empty word", Ours: "they are words as in a shell, and none is none",
		Why: "an argument may hold a space",
		Seen: append([]Seen{
			effect(`set/["args='one word' two"]`, "settings.Args", `["'one","word'","two"]`, `["one word","two"]`),
			effect("set/args=", "settings.Args", `[""]`, `[]`),
			effect(`set/["args=\"open"]`, "settings.Args", `["\"open"]`, `["--quiet"]`),
		}, onlyDocker(`set/["args=\"open"]`, invalid, "*unterminated quote*", "none")[:2]...),
	},
	{
		Docker: "a mount without a source, or a device without a path, can't be given one", Ours: "it can, if it is settable",
		Why:  "it is what such an entry is for",
		Seen: append(onlyOurs("set/late.*", unclassed, something, "events"), effect("set/late.*", "settings.*", "null", something)),
	},
	{
		Docker: "a name alone is refused if more than the source of a mount is settable", Ours: "it means the source",
		Why: "nothing else of a mount can be set, in either",
		Seen: append(onlyOurs("set/any=/x", unclassed, "multiple fields are settable, one must be specified", "events"),
			effect("set/any=/x", "settings.Mounts[/any].Source", `"/srv/any"`, `"/x"`)),
	},
	{
		Docker: "an upgrade keeps every setting, old defaults too", Ours: "it keeps what the user set, and takes the new defaults for the rest",
		Why: "a new version may need them",
		Seen: []Seen{
			effect("upgrade*/inspect", "result.Settings.Env", `*"LEFT=1"]`, `*"LEFT=2"]`),
			effect("upgrade*/enable", "spec.process.env", `*"LEFT=1"]`, `*"LEFT=2"]`),
		},
	},
	{
		Docker: "after an upgrade a mount whose source was set is made from its default, and shown as set", Ours: "it is made from what was set",
		Why:  "a plugin must not write elsewhere",
		Seen: []Seen{effect("upgrade of what was set/enable", "spec.mounts[/data].source", `"/usr"`, `"/srv"`)},
	},
	{
		Docker: "installs under a name with a digest", Ours: "InvalidParameter, 400",
		Why:  "an upgrade would make it a lie",
		Seen: onlyDocker("pull by other references/name with a digest", invalid, "invalid plugin name *", effects),
	},
	{
		Docker: "bytes that were not what their digest says stay in the way of every later pull", Ours: "they are forgotten, and asked for again",
		Why:  "a registry that was mended is good again",
		Seen: onlyOurs("pull from a bad registry/that is good again", unclassed, "failed commit on ref *", effects),
	},
	{
		Docker: "asks a token server for the class `repository(plugin)`", Ours: "if refused, for `repository` alone, too",
		Why:  "not every server knows the class",
		Seen: []Seen{effect("pull with an account/*", "scopes", anything, `*["repository:dovetail/one:pull"]*`)},
	},
	{
		Docker: "a pull needs a name, and a reference with a tag or digest", Ours: "both have defaults: the reference, the tag latest",
		Why: "docker's API router gives them; an embedder without it need not",
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
