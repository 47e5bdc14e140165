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
// incarnation of a plugin's process. The wish is whether a plugin is to run,
// which is on its record; the state is what is really the case, which never
// is.
//
// # Lifecycle
//
//	Disabled -enable-> Starting -ready-> Running -exit-> Backoff -retry-> Starting
//	Starting -refuse-> Disabled (a user asked)   Starting -defer-> Backoff (the manager asked)
//	Running|Backoff|Starting -disable-> Stopping -stopped-> Disabled
//	Disabled -upgrade-> Upgrading -done-> Disabled
//	Disabled -remove-> Removing -done-> Removed
//
// A plugin is ready when its socket accepts connections. One that ends by
// itself is started again, after waits that double from 100 ms to 30 s, until
// it is disabled; so is one that does not start when the daemon does.
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
// a Disable interrupts the start it finds under way. Callbacks, of events,
// handlers and options, are called with no lock held.
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
