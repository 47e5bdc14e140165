// SPDX-License-Identifier: Apache-2.0

package behaviour

// eventDifferences are differences in events, log and progress.
var eventDifferences = Group{"Events, the daemon's log, progress", []Difference{
	{
		Docker: "a change of settings publishes no event", Ours: "`EventSet`",
		Why:  "subscribers need not poll",
		Seen: []Seen{effect("set*|upgrade of what was set/set", "events", "", "EventSet *")},
	},
	{
		Docker: "an upgrade publishes no event, and is logged as a pull", Ours: "`EventUpgraded`, and logged as an upgrade when it is done",
		Why: "it is not an install",
		Seen: []Seen{
			effect("upgrade/upgrade*|upgrade of what was set/upgrade", "events", "", "EventUpgraded *"),
			effect("upgrade*/upgrade*", "log", "pull REGISTRY/*", "upgrade ID(*"),
		},
	},
	{
		Docker: "a failed start publishes no event", Ours: "`EventStartFailed`, with the error",
		Why: "an error at boot has no caller that sees it",
		Seen: []Seen{
			effect("executor refuses/enable|no executor/enable|plugin ends at once/enable|plugin never listens/enable|*during a start/*|specs/*, enable", "events", "", "EventStartFailed *"),
			effect("remove*during a start/remove", "events", "EventRemove *", "EventStartFailed *EventRemove *"),
		},
	},
	{
		Docker: "a slow subscriber misses events silently", Ours: "it receives an `EventsDropped` with their number",
		Why:  "it can list the plugins itself",
		Seen: []Seen{effect("slow subscriber/rest", "received", "EventCreate *", "EventsDropped*EventCreate *")},
	},
	{
		Docker: "a filter without a plugin's ID matches no plugin, and interfaces match by capability only", Ours: "it matches any plugin; interfaces match as `docker.volumedriver/1.0` and as `volumedriver`",
		Why: "a filter that matches nothing is a mistake",
		Seen: []Seen{
			effect("subscribers with filters/any enabled", "received", "", "EventEnable *EventEnable *"),
			effect("subscribers with filters/creates by the whole type", "received", "", "EventCreate *"),
			effect("subscribers with filters/one disabled or any removed", "received", "EventDisable *", "EventDisable *EventRemove *"),
		},
	},
	{
		Docker: "an exit publishes no event", Ours: "`EventExited`, and `EventRestarted` when the plugin is ready again",
		Why:  "subscribers can recognise a plugin that crashes",
		Seen: []Seen{effect("plugin ends by itself/*", "events", "", "EventExited *EventRestarted *")},
	},
	{
		Docker: "a plugin is logged by the caller's name for it", Ours: "the full name",
		Why:  "each plugin has one name in the log",
		Seen: []Seen{effect("*", "logged name", something, something)},
	},
	{
		Docker: "a pull is logged with the reference as the ID, and also if it is refused", Ours: "it is logged with the plugin's ID when the plugin is installed",
		Why: "as with all other verbs",
		Seen: []Seen{
			effect("pull*|push what was pulled/pull|upgrade*/pull", "log", "pull REGISTRY/*", "pull ID(*"),
			effect("pull*|upgrade/upgrade without grants", "log", "pull REGISTRY/*", ""),
			effect("pull*|upgrade/upgrade without grants", "logged name", something, ""),
		},
	},
	{
		Docker: "a push is not logged", Ours: "it is",
		Why:  "other verbs are logged",
		Seen: []Seen{effect("push*", "log|logged name", "", something)},
	},
	{
		Docker: "progress begins before the plugin is found", Ours: "progress begins when the plugin is found and the grants match",
		Why:  "a refused pull makes no progress",
		Seen: []Seen{effect("pull*|upgrade/upgrade without grants", "progress", "* Pulling from *", "blobs: 0")},
	},
	{
		Docker: "the progress of a push includes the manifest", Ours: "layers and config; the last line reports tag, digest and size",
		Why:  "as with images",
		Seen: []Seen{effect("push*", "progress", "*The push refers to repository [*blobs: 3", "*The push refers to repository [*")},
	},
}}
