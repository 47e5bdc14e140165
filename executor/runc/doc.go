// Package runc is a plugin executor that needs no daemon: it drives an OCI
// runtime binary, runc by default, and works alike with crun.
//
//	manager, err := plugin.NewManager(plugin.ManagerConfig{
//		CreateExecutor: func(m *plugin.Manager) (plugin.Executor, error) {
//			return runc.New("/run/myproject/plugins-runc", m)
//		},
//		// ...
//	})
//
// # How a plugin runs
//
// Create writes an OCI bundle and starts the runtime in the foreground, in a
// session of its own. The runtime's process stays: it is the parent of the
// plugin's main process, hands on its output, reaps it, and deletes what the
// runtime keeps about it. That the plugin has started is told by its pid file,
// that it has ended by a pidfd. Both are events; nothing is polled.
//
// Output goes through two named pipes in the bundle. The runtime holds them
// open in both directions, so a plugin can write while no daemon reads: as
// much as a pipe holds, up to 1 MiB, is kept for the next daemon, and then the
// plugin waits. Output reaches the streams line by line, and all that a plugin
// wrote before its end is delivered, and the streams are closed, before the
// end is reported. A process that outlives the plugin and holds on to its
// output delays the report by at most a second.
//
// # When the daemon restarts
//
// Runs live on when the process with the executor ends, in whatever way; an
// executor over the same directory takes them over with Restore. The process
// ids that it finds recorded are believed only if boot and start time agree.
// It then learns of ends by pidfd as before, but of exit codes only where the
// kernel tells them (Linux 6.15).
//
// Under systemd, the daemon's unit needs KillMode=process: otherwise systemd
// ends the runtimes with the daemon, and the output of the plugins with them.
//
// # On disk
//
//	<root>/bundles/<id>/  config.json, run.json (who runs), pid, log.json, stdout, stderr
//	<root>/runtime/<id>/  the runtime's own state
//
// The directory may be volatile, and is best below /run. It may even be cleared
// while plugins run: Create and Restore make directories and records again, and
// New finds a run whose record is gone by its runtime's arguments and root. It
// does not find one whose runtime was killed as well; and a run whose pipes were
// deleted loses its output if its runtime is gone.
//
// One executor at a time uses it, which flock(2) on the directory ensures. What
// an earlier daemon left of runs that are dead, or that had not fully started,
// is removed by New, or by Create and Restore of their id.
//
// # When a runtime hangs
//
// Every method returns within a bound, whatever the runtime does:
//
//	Create             one minute, see [WithCreateTimeout], and 10 s to undo the start
//	Restore            10 s, and as long again if what it removes hangs
//	New                10 s
//	Close              5 s, and usually at once; it ends what waits in Create and Restore
//	Signal, IsRunning  they call no runtime and wait for nothing
//
// A runtime that exceeds its bound is killed, with all processes that it has
// started, and cgroups that it made are removed.
//
// The executor needs Linux 5.10, and the privileges that its runtime needs.
package runc
