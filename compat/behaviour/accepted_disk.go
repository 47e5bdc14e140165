package behaviour

// diskDifferences are of what is on disk and in records.
var diskDifferences = Group{"Directories and records", []Difference{
	{
		Docker: "each start makes `/etc/hosts`, `/etc/mtab`, `/dev/console`, `/.dockerenv` and others in the rootfs", Ours: "the runtime makes the mount points that the spec needs",
		Why:  "what the author put there stays, and nothing else is",
		Seen: []Seen{effect("*", "tree[ROOT/ID(*)/rootfs/*]", something, "")},
	},
	{
		Docker: "a created plugin's rootfs is open to root only", Ours: "as the build context says, 0755 without a word",
		Why:  "`config.user` could not enter it",
		Seen: []Seen{effect("*", "tree[ROOT/*/rootfs]", "drwx------", "drwxr-xr-x")},
	},
	{
		Docker: "the storage is made at the first install, open to all", Ours: "at the start, open to root",
		Why: "a layer may hold a secret",
		Seen: []Seen{
			effect("*", "tree[ROOT/storage]", "drwxr-xr-x", "drwx------"),
			effect("storage/empty", "tree[ROOT/storage*", "", something),
		},
	},
	{
		Docker: "collecting deletes the manifests of plugins, and the layers of pulled ones", Ours: "they stay",
		Why: "a push needs them",
		Seen: []Seen{
			effect("storage/collected|pull/pulled|upgrade/upgraded", "blobs[manifest]", "0", something),
			effect("pull/pulled|upgrade/upgraded", "blobs[layer]", "0", something),
		},
	},
	{
		Docker: "refused and replaced versions stay in `tmp`", Ours: "they are deleted at once",
		Why: "each is as large as the plugin",
		Seen: []Seen{
			effect("upgrade/upgraded", "tree[ROOT/tmp/*", something, ""),
		},
	},
	{
		Docker: "what an install left in `tmp` stays for ever", Ours: "it is deleted at the next start",
		Why:  "it is as large as a plugin",
		Seen: []Seen{effect("restart on a damaged root/afterwards", "tree[ROOT/tmp/left*", something, "")},
	},
	{
		Docker: "the reference of a plugin that was created is forgotten at the next start", Ours: "it stays",
		Why:  "Inspect and an upgrade show it",
		Seen: []Seen{effect("restart*", "result.PluginReference", anything, `"dovetail/one:latest"`)},
	},
	{
		Docker: "a mount's source, or a device's path, that is set is shown as the config's, too", Ours: "the config never changes",
		Why: "Inspect shows what the author wrote, and an upgrade can tell what was set",
		Seen: []Seen{
			effect("set*/inspect*", "result.Config.Mounts[*].Source", something, something),
			effect("set*/inspect*", "result.Config.Linux.Devices[*].Path", something, something),
		},
	},
	{
		Docker: "grants are sorted into the config", Ours: "the config stays as its author wrote it",
		Why:  "nothing asks for an order",
		Seen: []Seen{effect("pull/inspect*|pull/enable", "result.Config.Linux.Capabilities|spec.process.capabilities.inheritable", `["CAP_MKNOD","CAP_SYS_ADMIN"]`, `["CAP_SYS_ADMIN","CAP_MKNOD"]`)},
	},
}}
