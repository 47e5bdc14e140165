package runc

import (
	"errors"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// The errors of this package carry their class as a marker method, which
// docker's and containerd's errdefs both see.

// RuntimeError is what the OCI runtime said when it could not do as it was
// told. It is of class System.
type RuntimeError struct {
	// Runtime is the binary that was called.
	Runtime string
	// Message is its own account, for example
	// unable to start container process: exec: "/plugin": permission denied.
	Message string
}

// Error names the runtime and repeats what it said.
func (e *RuntimeError) Error() string { return plaintext.Sprintf("%s: %s", e.Runtime, e.Message) }

// System marks the class of the error.
func (*RuntimeError) System() {}

// LockedError refuses a directory that an executor of another process uses.
// It is of class Conflict.
type LockedError struct {
	// Directory is the root that was given to [New].
	Directory string
}

// Error names the directory and says what to do.
func (e *LockedError) Error() string {
	return plaintext.Sprintf("runc executor's directory %s is used by another process: stop it, or use another directory", e.Directory)
}

// Conflict marks the class of the error.
func (*LockedError) Conflict() {}

var errTakenOver = errors.New("a newer executor has taken its directory over")

type notFoundError struct{ error }

func (e notFoundError) Error() string { return plaintext.Sprintf("%v", e.error) }

func (notFoundError) NotFound() {}

func (e notFoundError) Unwrap() error { return e.error }

type conflictError struct{ error }

func (e conflictError) Error() string { return plaintext.Sprintf("%v", e.error) }

func (conflictError) Conflict() {}

func (e conflictError) Unwrap() error { return e.error }

type invalidParameterError struct{ error }

func (e invalidParameterError) Error() string { return plaintext.Sprintf("%v", e.error) }

func (invalidParameterError) InvalidParameter() {}

func (e invalidParameterError) Unwrap() error { return e.error }

type unavailableError struct{ error }

func (e unavailableError) Error() string { return plaintext.Sprintf("%v", e.error) }

func (unavailableError) Unavailable() {}

func (e unavailableError) Unwrap() error { return e.error }
