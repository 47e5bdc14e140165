package executortest

import (
	"io"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Executor is what the kit tests. It is declared here with the method set of
// the manager's interface of the same name, whose documentation is the
// contract.
type Executor interface {
	Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error
	IsRunning(id string) (bool, error)
	Restore(id string, stdout, stderr io.WriteCloser) (alive bool, err error)
	Signal(id string, signal syscall.Signal) error
}

// exitReporter, pidReporter and runLister are what an executor may also
// implement.
type exitReporter interface {
	LastExit(id string) (code int, oomKilled bool, ok bool)
}

type pidReporter interface {
	Pid(id string) (pid int, ok bool)
}

type runLister interface {
	Runs() (ids []string, err error)
}

// Subject is an implementation of [Executor] under test. New is required.
type Subject struct {
	// New starts an executor over the directory state, as a daemon does when
	// it starts; a second call with the same directory is the daemon's
	// restart. The executor tells exits the id of every run that ended.
	// Detach lets go of the executor as the daemon's end would: runs go on
	// living, nothing is written or reported any more, and when it returns no
	// goroutine or file descriptor of the executor is left but what must wait
	// for runs that still live.
	New func(t *testing.T, state string, exits func(id string)) (executor Executor, detach func())
	// InProcess says that the executor starts no processes: it runs the
	// program of the spec, package probe, as a function that finds its paths
	// below the spec's Root.Path. The zero value starts real ones.
	InProcess bool
	// Patience is how long the kit waits for what should happen at once. Zero
	// means 20 s: a loaded machine may be slow, and waiting costs nothing when
	// all is well.
	Patience time.Duration
}
