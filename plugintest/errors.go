package plugintest

import "github.com/dovetailhq/plugin/internal/plaintext"

// The errors of this package carry their class as a marker method, which
// docker's and containerd's errdefs both see.

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
