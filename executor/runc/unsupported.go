// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package runc

import (
	"errors"
	"io"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin/internal/class"
)

var errUnsupported = class.NotImplemented(errors.New("plugins run on Linux only"))

// Executor runs plugins on Linux only. Elsewhere [New] fails.
type Executor struct{}

// New returns an error of class not implemented on this system.
func New(string, ExitHandler, ...Option) (*Executor, error) { return nil, errUnsupported }

// Create returns an error of class not implemented.
func (*Executor) Create(string, specs.Spec, io.WriteCloser, io.WriteCloser) error {
	return errUnsupported
}

// IsRunning returns an error of class not implemented.
func (*Executor) IsRunning(string) (bool, error) { return false, errUnsupported }

// Restore returns an error of class not implemented.
func (*Executor) Restore(string, io.WriteCloser, io.WriteCloser) (bool, error) {
	return false, errUnsupported
}

// Signal returns an error of class not implemented.
func (*Executor) Signal(string, syscall.Signal) error { return errUnsupported }

// Close does nothing.
func (*Executor) Close() error { return nil }
