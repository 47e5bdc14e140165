// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"errors"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// The errors of this package have a marker method for their class, which the
// errdefs packages of docker and containerd recognize. Errors of containerd keep
// their class.

// LockedError reports a directory that an executor of another process uses for the
// same namespace of the same containerd. It is of class Conflict.
type LockedError struct {
	// Directory is the rootDir passed to [New].
	Directory string
}

// Error names the directory and says what to do.
func (e *LockedError) Error() string {
	return plaintext.Sprintf("containerd executor's directory %s is used by another process for the same containerd and namespace: stop it, or use another directory or namespace", e.Directory)
}

// Conflict marks the error's class.
func (*LockedError) Conflict() {}

var errTakenOver = errors.New("a newer executor has taken its directory over")
