package engineapi

import "github.com/dovetailhq/plugin/internal/plaintext"

// invalidError is a request that cannot be answered as it is. Its class,
// InvalidParameter, is seen by docker's and containerd's errdefs.
type invalidError struct{ error }

func (e invalidError) Error() string { return plaintext.Sprintf("%v", e.error) }

func invalid(err error) error { return invalidError{err} }

func (e invalidError) Unwrap() error { return e.error }

// InvalidParameter marks the class.
func (invalidError) InvalidParameter() {}

// busyError is a request that finds no room. Its class is Unavailable.
type busyError struct{ error }

func (e busyError) Error() string { return plaintext.Sprintf("%v", e.error) }

func (e busyError) Unwrap() error { return e.error }

// Unavailable marks the class.
func (busyError) Unavailable() {}
