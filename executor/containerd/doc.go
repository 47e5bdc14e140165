// SPDX-License-Identifier: Apache-2.0

// Package containerd is a plugin executor for daemons that have a containerd. It
// uses the client of containerd 2 and supports containerd 1.6 and newer; it is
// tested with 1.6, 1.7 and 2.1, each with its own shim for runc. Its constructor
// and types are those of docker's package of the same name.
//
//	client, err := containerd.New("/run/containerd/containerd.sock")
//	// ...
//	manager, err := plugin.NewManager(plugin.ManagerConfig{
//		CreateExecutor: func(m *plugin.Manager) (plugin.Executor, error) {
//			return plugincontainerd.New(ctx, "/run/myproject/containerd", client,
//				"plugins.myproject", m, "io.containerd.runc.v2", nil)
//		},
//		// ...
//	})
//
// # How a plugin runs
//
// A plugin is a container and its task. Both have the plugin's ID, in a namespace
// that should be used for plugins only. The rootfs is the directory that the spec
// names; there is no image and no snapshot. Output goes through two named pipes,
// which the task's shim holds open. A plugin can therefore write while no daemon
// reads, and the next daemon gets what the pipes hold.
//
// The executor learns of the end of a run from a Wait call and, if that fails,
// from the event stream. After a lost connection it repeats both and asks for the
// state of every run. Each end is reported once, after the last output was
// delivered. The exit code can be unknown if a run ended while containerd was
// down. Processes executed in a plugin's container are ignored.
//
// # When containerd does not answer
//
// Every method returns within a bound, whatever containerd does:
//
//	Create                   one minute
//	Restore, IsRunning,
//	Signal, Runs             10 s
//	Close                    5 s, and usually at once; it ends all other calls
//	New                      does not wait for containerd
//
// If Restore and IsRunning can't find out whether a plugin is alive, they return
// an error. Create does not cancel its requests at its limit. When containerd
// answers them later, the executor removes the container.
//
// # On disk
//
//	<rootDir>/<id>/                <id>-stdout, <id>-stderr
//	<rootDir>/.lock-<16 digits>/   locked, and empty
//
// One executor at a time uses rootDir for a namespace of a containerd. A lock on a
// directory ensures this (https://man7.org/linux/man-pages/man2/flock.2.html).
//
// When a run has ended, its task, its container and its pipes are deleted. Create
// replaces a run that a crashed daemon left, and Restore removes it if it is dead.
// Requests that were in progress when the daemon crashed are cleaned up by
// containerd.
package containerd
