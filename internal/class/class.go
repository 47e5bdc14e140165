// SPDX-License-Identifier: Apache-2.0

// Package class gives errors the class that docker's and containerd's errdefs
// recognize: a marker method. Texts are printed as plain text. Rooms whose callers
// need more than the class define a type of their own.
package class

import "github.com/dovetailhq/plugin/internal/plaintext"

// NotFound returns err with the class NotFound.
func NotFound(err error) error { return notFoundError{err} }

// Conflict returns err with the class Conflict.
func Conflict(err error) error { return conflictError{err} }

// InvalidParameter returns err with the class InvalidParameter.
func InvalidParameter(err error) error { return invalidParameterError{err} }

// Unavailable returns err with the class Unavailable.
func Unavailable(err error) error { return unavailableError{err} }

// System returns err with the class System.
func System(err error) error { return systemError{err} }

// NotImplemented returns err with the class NotImplemented.
func NotImplemented(err error) error { return notImplementedError{err} }

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

type systemError struct{ error }

func (e systemError) Error() string { return plaintext.Sprintf("%v", e.error) }

func (systemError) System() {}

func (e systemError) Unwrap() error { return e.error }

type notImplementedError struct{ error }

func (e notImplementedError) Error() string { return plaintext.Sprintf("%v", e.error) }

func (notImplementedError) NotImplemented() {}

func (e notImplementedError) Unwrap() error { return e.error }
