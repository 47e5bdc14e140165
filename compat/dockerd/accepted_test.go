// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dockerd

// inStory are the differences in the story. All except one are texts of errors;
// docs/differences.md has the reasons.
var inStory = []difference{
	{
		step:  "a plugin that is not enabled: ! docker volume create",
		stock: `1 .*plugin dovetail/volume found but disabled`,
		ours:  `1 .*plugin dovetail/volume:latest found but disabled`,
		why:   "a plugin is called by its full name",
	},
	{
		step:  "volumes: ! docker volume create",
		stock: `1 .*plugin dovetail/volume found but disabled`,
		ours:  `1 .*plugin dovetail/volume:latest found but disabled`,
		why:   "a plugin is called by its full name",
	},
	{
		step:  "logs: ! docker run --rm --log-driver dovetail/log",
		stock: `125 .*plugin dovetail/log found but disabled.*`,
		ours:  `125 .*plugin dovetail/log:latest found but disabled.*`,
		why:   "a plugin is called by its full name",
	},
	{
		step:  "set: ! docker plugin set dovetail/volume NOTHING",
		stock: `1 .*setting "NOTHING" not found in the plugin configuration`,
		ours:  `1 .*"NOTHING" is not in the config of this plugin \(settable in this plugin: VERSION\)`,
		why:   "the error lists what can be set",
	},
	{
		step:  "set: ! docker plugin set dovetail/volume VERSION.name",
		stock: `1 .*"VERSION.name" is not settable`,
		ours:  `1 .*"VERSION.name" is not settable \(settable in this plugin: VERSION\)`,
		why:   "the error lists what can be set",
	},
	{
		step:  "enable: ! docker plugin set",
		stock: `1 .*disable plugin before setting`,
		ours:  `1 .*disable plugin before setting: plugin dovetail/volume:latest is enabled`,
		why:   "the error names the plugin",
	},
	{
		step:  "! docker plugin rm dovetail/",
		stock: `1 .*plugin dovetail/(volume|authz):latest is enabled`,
		ours:  `1 .*plugin dovetail/(volume|authz):latest is enabled: disable it first, or remove it by force`,
		why:   "the error says what to do",
	},
	{
		step:  "registry: ! docker plugin install --grant-all-permissions 127.0.0.1:5000/dovetail/absent:1",
		stock: `1 .*error resolving plugin reference: 127.0.0.1:5000/dovetail/absent:1: not found`,
		ours:  `1 .*pull 127.0.0.1:5000/dovetail/absent:1: 127.0.0.1:5000: not found`,
		why:   "the error names the host that was asked",
	},
	{
		step:  "! docker plugin enable dovetail/bare",
		stock: `1 .*runc create failed: args must not be empty: unknown`,
		ours:  `1 .*start plugin "dovetail/bare:latest": .*entrypoint is empty: name the program to start; interface.socket is empty.*`,
		why:   "the error names the fields of the config",
	},
	{
		step:  "! docker plugin enable dovetail/exits",
		stock: `1 .*dial unix /run/docker/plugins/ID/plugin.sock: connect: no such file or directory`,
		ours:  `1 .*start plugin "dovetail/exits:latest": .*; last output:.*\["exits"\] is not a kind of plugin`,
		why:   "the error has the output of the plugin",
	},
	{
		step:  "! docker volume create -d dovetail/exits",
		stock: `1 .*plugin dovetail/exits found but disabled`,
		ours:  `1 .*plugin dovetail/exits:latest found but disabled`,
		why:   "a plugin is called by its full name",
	},
	{
		step:  "! docker plugin install --grant-all-permissions 127.0.0.1:5000/dovetail/image",
		stock: `1 .*did not find plugin config for specified reference 127.0.0.1:5000/dovetail/image:latest`,
		ours:  `1 .*pull 127.0.0.1:5000/dovetail/image:latest: config of type .* is not supported: it is an image, not a plugin`,
		why:   "the error has the cause",
	},
	{
		step:  "! docker plugin install --grant-all-permissions 127.0.0.1:1/dovetail/remote:1",
		stock: `1 .*error resolving plugin reference: .*dial tcp 127.0.0.1:1: connect: connection refused`,
		ours:  `1 .*pull 127.0.0.1:1/dovetail/remote:1: 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused`,
		why:   "the error names the host that was asked",
	},
	{
		step:  "the whole: $ docker events",
		stock: `0 create dovetail/volume:latest.*enable dovetail/volume\n.*pull 127.0.0.1:5000/dovetail/remote:1.*`,
		ours:  `0 create dovetail/volume:latest.*enable dovetail/volume:latest\n.*push 127.0.0.1:5000/dovetail/remote:1.*upgrade 127.0.0.1:5000/dovetail/remote:1.*`,
		why:   "a plugin is called by its full name; a push and an upgrade have separate events",
	},
}

// inLate are the differences in the story of late plugins: there are none.
var inLate = []difference{}

// inSSHFS are the differences in the story of a volume over ssh: there are none.
var inSSHFS = []difference{}

// inSwarm are the differences in the story of a swarm: there are none.
var inSwarm = []difference{}
