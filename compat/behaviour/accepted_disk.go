// SPDX-License-Identifier: Apache-2.0

package behaviour

// diskDifferences are differences in files and records.
var diskDifferences = Group{"Directories and records", []Difference{
	{
		Docker: "each start makes `/etc/hosts`, `/etc/mtab`, `/dev/console`, `/.dockerenv` and others in the rootfs", Ours: "the runtime makes the mount points that the spec needs",
		Why:  "the author's files stay, and no others appear",
		Seen: []Seen{effect("*", "tree[ROOT/ID(*)/rootfs/*]", something, "")},
	},
	{
		Docker: "a created plugin's rootfs is open to root only", Ours: "it has the build context's mode, or 0755 by default",
		Why:  "`config.user` could not enter it",
		Seen: []Seen{effect("*", "tree[ROOT/*/rootfs]", "drwx------", "drwxr-xr-x")},
	},
	{
		Docker: "the storage is made at the first install, open to all users", Ours: "it is made at the start, open to root only",
		Why: "a layer can hold a secret",
		Seen: []Seen{
			effect("*", "tree[ROOT/storage]", "drwxr-xr-x", "drwx------"),
			effect("storage/empty", "tree[ROOT/storage*", "", something),
		},
	},
	{
		Docker: "collection deletes the manifests of plugins, and the layers of pulled plugins", Ours: "they stay",
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
		Docker: "leftovers of an install in `tmp` stay for ever", Ours: "they are deleted at the next start",
		Why:  "each is as large as a plugin",
		Seen: []Seen{effect("restart on a damaged root/afterwards", "tree[ROOT/tmp/left*", something, "")},
	},
	{
		Docker: "the root does not keep which directories of the host plugins could write to", Ours: "`exposed.json` keeps them",
		Why:  "a link that a plugin made there can outlive its grant",
		Seen: []Seen{effect("upgrade/upgraded", "tree[ROOT/exposed.json]", "", "-rw-------")},
	},
	{
		Docker: "the reference of a created plugin is lost at the next start", Ours: "it stays",
		Why:  "Inspect and an upgrade show it",
		Seen: []Seen{effect("restart*", "result.PluginReference", anything, `"dovetail/one:latest"`)},
	},
	{
		Docker: "setting a mount's source or a device's path also changes the config", Ours: "the config never changes",
		Why: "Inspect shows the author's config, and an upgrade knows which settings are the user's",
		Seen: []Seen{
			effect("set*/inspect*", "result.Config.Mounts[*].Source", something, something),
			effect("set*/inspect*", "result.Config.Linux.Devices[*].Path", something, something),
		},
	},
	{
		Docker: "grants are sorted into the config", Ours: "the author's config is unchanged",
		Why:  "no consumer needs an order",
		Seen: []Seen{effect("pull/inspect*|pull/enable", "result.Config.Linux.Capabilities|spec.process.capabilities.inheritable", `["CAP_MKNOD","CAP_SYS_ADMIN"]`, `["CAP_SYS_ADMIN","CAP_MKNOD"]`)},
	},
}}
