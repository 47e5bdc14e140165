package containerd

// ExitHandler is told of the end of runs. The plugin manager is one.
type ExitHandler interface {
	// HandleExitEvent is called once after a run has ended, from a goroutine
	// that holds no locks; LastExit and IsRunning tell the new state. It must
	// not call [Executor.Close], which waits for it. The error is logged.
	HandleExitEvent(id string) error
}
