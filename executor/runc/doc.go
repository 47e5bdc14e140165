// SPDX-License-Identifier: Apache-2.0

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
// separate session. The runtime's process stays: it is the parent of the
// plugin's main process, forwards its output, reaps it, and deletes the
// runtime's state of it. The pid file shows that the plugin has started, and a
// pidfd that it has ended. Both are events; nothing is polled.
//
// Output goes through two named pipes in the bundle. The runtime holds them
// open in both directions, so a plugin can write while no daemon reads: a pipe
// keeps up to 1 MiB for the next daemon, and a plugin that writes more blocks.
// Output reaches the streams line by line. Before the executor reports an end,
// it delivers the plugin's last output and closes the streams. A process that
// outlives the plugin and holds its output open delays the report by at most a
// second.
//
// # When the daemon restarts
//
// Runs survive the end, or a crash, of the process with the executor. An
// executor over the same directory takes them over with Restore. It trusts
// recorded process IDs only if boot and start time match. It then learns of ends
// by pidfd as before, but of exit codes only from a kernel that reports them by
// PIDFD_GET_INFO (Linux 6.15).
//
// Under systemd, the daemon's unit needs KillMode=process: otherwise systemd
// ends the runtimes with the daemon, and the output of the plugins with them.
//
// # On disk
//
//	<root>/bundles/<id>/  config.json, run.json (the processes), pid, log.json, stdout, stderr
//	<root>/runtime/<id>/  the runtime's own state
//
// The directory may be volatile, and is best below /run. It can even be cleared
// while plugins run: Create and Restore make directories and records again, and
// New finds a run without a record by its runtime's arguments and root. It does
// not find such a run if its runtime was killed also. A run without pipes loses
// its output if its runtime is gone.
//
// One executor at a time uses the directory. A lock on it ensures this
// (https://man7.org/linux/man-pages/man2/flock.2.html). New removes leftovers of
// dead and half-started runs of an earlier daemon; so do Create and Restore of
// their ID.
//
// # When a runtime hangs
//
// Every method returns within a bound, whatever the runtime does:
//
//	Create             one minute, and 10 s to undo the start
//	Restore            10 s, and 10 s more if removing leftovers hangs
//	New                10 s
//	Close              5 s, and usually at once; it ends calls of Create and Restore
//	Signal, IsRunning  at once: they call no runtime
//
// A runtime that exceeds its bound is killed together with all processes that it
// has started, and its cgroups are removed.
//
// The executor needs Linux 5.10, and the privileges that its runtime needs.
package runc
