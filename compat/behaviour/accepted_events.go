package behaviour

// eventDifferences are of what others are told.
var eventDifferences = Group{"Events, the daemon's log, progress", []Difference{
	{
		Docker: "a change of settings is no event", Ours: "`EventSet`",
		Why:  "subscribers need not ask",
		Seen: []Seen{effect("set*|upgrade of what was set/set", "events", "", "EventSet *")},
	},
	{
		Docker: "an upgrade is no event, and is logged as a pull", Ours: "`EventUpgraded`; logged as an upgrade, when it is done",
		Why: "it is neither an install nor silent",
		Seen: []Seen{
			effect("upgrade/upgrade*|upgrade of what was set/upgrade", "events", "", "EventUpgraded *"),
			effect("upgrade*/upgrade*", "log", "pull REGISTRY/*", "upgrade ID(*"),
		},
	},
	{
		Docker: "a start that fails is no event", Ours: "`EventStartFailed`, with the error",
		Why: "nobody sees the error of a start at boot",
		Seen: []Seen{
			effect("executor refuses/enable|no executor/enable|plugin ends at once/enable|plugin never listens/enable|*during a start/*|specs/*, enable", "events", "", "EventStartFailed *"),
			effect("remove*during a start/remove", "events", "EventRemove *", "EventStartFailed *EventRemove *"),
		},
	},
	{
		Docker: "a subscriber that is slow misses events", Ours: "it finds how many it missed, in an `EventsDropped`",
		Why:  "it can look for itself",
		Seen: []Seen{effect("slow subscriber/rest", "received", "EventCreate *", "EventsDropped*EventCreate *")},
	},
	{
		Docker: "a filter without a plugin's id matches no plugin, and interfaces match by capability alone", Ours: "any plugin; `docker.volumedriver/1.0` as well as `volumedriver`",
		Why: "a filter that matches nothing is a mistake",
		Seen: []Seen{
			effect("subscribers with filters/any enabled", "received", "", "EventEnable *EventEnable *"),
			effect("subscribers with filters/creates by the whole type", "received", "", "EventCreate *"),
			effect("subscribers with filters/one disabled or any removed", "received", "EventDisable *", "EventDisable *EventRemove *"),
		},
	},
	{
		Docker: "an exit is no event", Ours: "`EventExited` and, when the plugin is ready again, `EventRestarted`",
		Why:  "subscribers can tell a plugin that crashes",
		Seen: []Seen{effect("plugin ends by itself/*", "events", "", "EventExited *EventRestarted *")},
	},
	{
		Docker: "a plugin is logged as its caller called it", Ours: "by its full name",
		Why:  "one plugin, one name",
		Seen: []Seen{effect("*", "logged name", something, something)},
	},
	{
		Docker: "a pull is logged with the reference for an id, and also if it is refused", Ours: "with the plugin's id, when it is installed",
		Why: "as with all other verbs",
		Seen: []Seen{
			effect("pull*|push what was pulled/pull|upgrade*/pull", "log", "pull REGISTRY/*", "pull ID(*"),
			effect("pull*|upgrade/upgrade without grants", "log", "pull REGISTRY/*", ""),
			effect("pull*|upgrade/upgrade without grants", "logged name", something, ""),
		},
	},
	{
		Docker: "a push is not logged", Ours: "it is",
		Why:  "it is an action",
		Seen: []Seen{effect("push*", "log|logged name", "", something)},
	},
	{
		Docker: "progress begins before it is known whether there is a plugin", Ours: "when it is, and the grants match",
		Why:  "a refusal is no progress",
		Seen: []Seen{effect("pull*|upgrade/upgrade without grants", "progress", "* Pulling from *", "blobs: 0")},
	},
	{
		Docker: "the progress of a push follows the manifest, too", Ours: "layers and config, and a last line tells tag, digest and size in words",
		Why:  "as with images",
		Seen: []Seen{effect("push*", "progress", "*The push refers to repository [*blobs: 3", "*The push refers to repository [*")},
	},
}}
