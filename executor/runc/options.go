package runc

// ExitHandler is told of the end of runs. The plugin manager is one.
type ExitHandler interface {
	// HandleExitEvent is called once after a run has ended, from a goroutine
	// that holds no locks; LastExit and IsRunning tell the new state. It must
	// not call [Executor.Close], which waits for it. The error is logged.
	HandleExitEvent(id string) error
}

const defaultRuntime = "runc"

type settings struct {
	runtime     string
	runtimeArgs []string
}

// Option changes what [New] makes.
type Option func(*settings)

// WithRuntime makes the executor use another OCI runtime than runc: the name
// of a binary on the PATH or a path. It must understand runc's run and delete
// commands with their flags, as crun does.
func WithRuntime(binary string) Option {
	return func(s *settings) { s.runtime = binary }
}

// WithRuntimeArgs adds global arguments to every call of the runtime, for
// example --systemd-cgroup.
func WithRuntimeArgs(args ...string) Option {
	return func(s *settings) { s.runtimeArgs = append(s.runtimeArgs, args...) }
}
