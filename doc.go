// SPDX-License-Identifier: Apache-2.0

// Package plugin is the managed-plugin system of a container daemon as a library.
// It installs plugins, supervises their processes, and gives the rest of the
// daemon access to them by name and capability. Its state survives crashes. The
// exported API, its types and the layout on disk are those of docker's package of
// the same name.
//
// # Nouns
//
// A plugin is a root file system, a config, and the settings that the config
// allows users to change. Its record describes it on disk. A [Manager] keeps
// plugins in a [Store], where the rest of the daemon looks them up. An [Executor]
// starts and signals processes. A run is one process of a plugin, from start to
// exit. The desired state, enabled or disabled, is part of the record. The actual
// state is never persisted; it is derived at boot.
//
// # Lifecycle
//
//	Disabled -enable-> Starting -ready-> Running -exit-> Backoff -retry-> Starting
//	Starting -refuse-> Stopping (a user asked)   Starting -defer-> Backoff (the manager asked)
//	Running|Backoff|Starting -disable-> Stopping -stopped-> Disabled
//	Disabled -inherit-> Stopping -stick-> Stopping
//	Disabled -upgrade-> Upgrading -done-> Disabled
//	Disabled -remove-> Removing -done-> Removed  Removing -fail-> Disabled
//
// A plugin is ready when its socket accepts connections. A plugin that exits by
// itself is restarted, after waits that double from 100 ms to 30 s, until it is
// disabled. So is a plugin that fails to start at boot.
//
// A plugin stays in state Stopping until its process has ended. If the process
// can't be ended, the manager keeps trying, and Disable tries at once; enabling,
// upgrading and removing the plugin are refused.
//
// # Disk
//
//	<Root>/<id>/config.json        the record
//	<Root>/<id>/rootfs             the root file system
//	<Root>/<id>/propagated-mount   mounts and data shared with the host
//	<Root>/storage                 blobs: manifests, configs, layers
//	<Root>/tmp                     installs in progress
//	<ExecRoot>/<id>/<socket>       the socket, while the plugin runs
//
// # Guarantees
//
// Concurrency: all methods may be called concurrently. Verbs on one plugin are
// serialised, verbs on different plugins are independent, and a Disable
// interrupts a start that is in progress. Callbacks (event loggers, handlers
// and options) are called with no lock held. A panic in a callback is logged
// and does not end the daemon.
//
// Bounds: executors, runtimes, file systems and callbacks may hang. A start is
// bounded as a whole by StartTimeout, a stop by StopTimeout and the time that a
// killed process takes to end, Shutdown by one deadline. A call that was given up
// can return later: its effects are then undone, and until then the plugin is in
// state Stopping.
//
// Crashes: each verb has one commit point. A crash before it leaves the old
// state, and a crash after it the new state. When a verb returns nil, its effect
// is durable.
//
// Errors: each kind has a type that names the thing, and a class that the
// errdefs packages of docker and containerd recognise. A verb that failed
// changed nothing.
//
// Events: each subscriber gets matching events in order. A slow subscriber
// misses events and gets their number; the manager never waits for it.
//
// # Lock order
//
// Outermost first: the operation lock of a unit, which is held across I/O;
// Manager.mu; unit.mu; the Store's lock; the lock of a v2.Plugin.
// HandleExitEvent takes no lock that is held across I/O.
//
// # Use
//
//	store := plugin.NewStore()
//	manager, err := plugin.NewManager(plugin.ManagerConfig{
//		Store:    store,
//		Root:     "/var/lib/daemon/plugins",
//		ExecRoot: "/run/daemon/plugins",
//		CreateExecutor: func(m *plugin.Manager) (plugin.Executor, error) {
//			return runc.New("/run/daemon/plugin-executor", m) // docker's executor is executor/containerd
//		},
//	})
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer manager.Shutdown()
//
//	driver, err := store.Get("dovetail/example", "VolumeDriver", plugingetter.Acquire)
package plugin
