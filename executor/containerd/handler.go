// SPDX-License-Identifier: Apache-2.0

package containerd

// ExitHandler is notified of the end of runs. The plugin manager implements it.
type ExitHandler interface {
	// HandleExitEvent is called once after a run has ended, from a goroutine
	// that holds no locks. LastExit and IsRunning return the new state then. It
	// must not call [Executor.Close], which waits for it. The executor logs the
	// error.
	HandleExitEvent(id string) error
}
