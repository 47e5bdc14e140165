// SPDX-License-Identifier: Apache-2.0

package runc

import (
	"errors"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// The errors of this package carry their class as a marker method, which
// docker's and containerd's errdefs both see.

// RuntimeError reports that a call of the OCI runtime failed. It is of class
// System.
type RuntimeError struct {
	// Runtime is the binary that was called.
	Runtime string
	// Message is the runtime's error message, for example
	// unable to start container process: exec: "/plugin": permission denied.
	Message string
}

// Error returns the runtime and its message.
func (e *RuntimeError) Error() string { return plaintext.Sprintf("%s: %s", e.Runtime, e.Message) }

// System marks the error's class.
func (*RuntimeError) System() {}

// LockedError refuses a directory that an executor of another process uses.
// It is of class Conflict.
type LockedError struct {
	// Directory is the root that was given to [New].
	Directory string
}

// Error names the directory and a remedy.
func (e *LockedError) Error() string {
	return plaintext.Sprintf("runc executor's directory %s is used by another process: stop it, or use another directory", e.Directory)
}

// Conflict marks the error's class.
func (*LockedError) Conflict() {}

var errTakenOver = errors.New("a newer executor has taken its directory over")
