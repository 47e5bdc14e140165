// Package plugin is the managed-plugin system of a container daemon as a
// library: it installs plugins, runs them under supervision, hands them to
// the rest of the daemon by name and capability, and keeps all that across
// crashes. It has the exported API of docker's package of the same name, over
// docker's own types, and keeps the same files.
//
// # Nouns
//
// A plugin is one installed thing: a root file system, a config, and settings
// that its config allows to be changed. Its record is what is kept of it on
// disk. A [Manager] keeps plugins in a [Store], which is what the rest of the
// daemon asks. An [Executor] starts and signals processes. A run is one
// incarnation of a plugin's process. The desired state, enabled or disabled, is
// part of the record. The actual state is never persisted; it is derived at
// boot.
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
// A plugin is ready when its socket accepts connections. A plugin that ends by
// itself is started again, after waits that double from 100 ms to 30 s, until
// it is disabled; so is a plugin that does not start when the daemon does.
//
// A plugin whose process can't be ended is stopping until it is. The manager
// goes on trying, Disable tries at once, and enabling, upgrading and removing
// it are refused.
//
// # Disk
//
//	<Root>/<id>/config.json        the record
//	<Root>/<id>/rootfs             the root file system
//	<Root>/<id>/propagated-mount   mounts and data shared with the host
//	<Root>/storage                 blobs: manifests, configs, layers
//	<Root>/tmp                     installs under way
//	<ExecRoot>/<id>/<socket>       the socket, while the plugin runs
//
// # Guarantees
//
// Concurrency: every method may be called at any time by anybody. Verbs on
// one plugin are serialised, verbs on different plugins are independent, and
// a Disable interrupts the start it finds in progress. Callbacks, of events,
// handlers and options, are called with no lock held. A panic in one is logged
// and ends no daemon.
//
// Bounds: executors, runtimes, file systems and callbacks may hang. A start is
// bounded as a whole by StartTimeout, a stop by StopTimeout and the time that a
// killed process takes to end, Shutdown by one deadline. What a call that hangs
// still makes is undone when it returns; until then the plugin is stopping.
//
// Crashes: each verb has one commit point. A crash before it leaves nothing,
// one after it leaves everything, and a verb that returned nil has reached
// the disk.
//
// Errors: each kind has a type that names the thing, and a class that the
// errdefs packages of docker and containerd recognise. A verb that failed
// changed nothing.
//
// Events: each subscriber gets what it asked for in order, and is told how
// much it missed when it did not keep up; nobody waits for it.
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
//		Store: store, Root: "/var/lib/daemon/plugins", ExecRoot: "/run/daemon/plugins",
//		CreateExecutor: func(m *plugin.Manager) (plugin.Executor, error) {
//			return runc.New("/run/daemon/plugin-executor", m)
//		},
//	})
//	if err != nil {
//		return err
//	}
//	defer manager.Shutdown()
//	driver, err := store.Get("dovetail/example", "VolumeDriver", plugingetter.Acquire)
package plugin
