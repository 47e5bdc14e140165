// Package containerd is a plugin executor for daemons that have a containerd:
// 1.6 or newer, reached through the client of containerd 2. It is tested with
// 1.6, 1.7 and 2.1, each with its own shim for runc. Its constructor and types
// are those of docker's package of the same name.
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
// A plugin is a container and its task, both named by the plugin's id, in a
// namespace that should be the plugins' own. Its rootfs is the directory that
// the spec names; there is no image and no snapshot. Output goes through two
// named pipes, which the task's shim holds open, so a plugin can write while
// no daemon reads; what the pipes hold is kept for the next.
//
// The end of a run is learnt from a Wait call and, should that fail, from the
// event stream. Both are taken up again when a connection to containerd is
// lost, and what happened meanwhile is asked for: an end is reported once,
// however it came to be known, and after the last output was delivered. Of a
// run that ended while containerd was down the exit code may be unknown.
// Processes that somebody executes in a plugin's container don't matter.
//
// # When containerd does not answer
//
// Every method returns within a bound, whatever containerd does:
//
//	Create                   one minute
//	Restore, IsRunning,
//	Signal, Runs             10 s
//	Close                    5 s, and usually at once; it ends all other calls
//	New                      it does not wait for containerd
//
// Restore and IsRunning tell "not alive" from "not known", which is an error.
// Requests of a Create are not cancelled at its limit. When containerd answers
// them at last, what came of them is removed.
//
// # On disk
//
//	<rootDir>/<id>/  <id>-stdout, <id>-stderr
//
// One executor at a time uses rootDir, which flock(2) on it ensures.
//
// When a run has ended, its task, its container and its pipes are deleted.
// What a crashed daemon left of an id is replaced by Create, and removed by
// Restore if it is dead. Only what containerd was still making for it as it
// crashed is left to containerd, which clears up after a client that is gone.
package containerd
