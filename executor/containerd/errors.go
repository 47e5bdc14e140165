package containerd

import (
	"errors"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// The errors of this package carry their class as a marker method, which
// docker's and containerd's errdefs both see. Errors of containerd keep the
// class it gave them.

// LockedError refuses a directory that an executor of another process uses.
// It is of class Conflict.
type LockedError struct {
	// Directory is the rootDir that was given to [New].
	Directory string
}

// Error names the directory and says what to do.
func (e *LockedError) Error() string {
	return plaintext.Sprintf("containerd executor's directory %s is used by another process: stop it, or use another directory", e.Directory)
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

type unavailableError struct{ error }

func (e unavailableError) Error() string { return plaintext.Sprintf("%v", e.error) }

func (unavailableError) Unavailable() {}

func (e unavailableError) Unwrap() error { return e.error }

type systemError struct{ error }

func (e systemError) Error() string { return plaintext.Sprintf("%v", e.error) }

func (systemError) System() {}

func (e systemError) Unwrap() error { return e.error }
