// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package containerd

import (
	"context"
	"errors"
	"io"
	"syscall"

	containerd "github.com/containerd/containerd/v2/client"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin/internal/class"
)

var errUnsupported = class.NotImplemented(errors.New("plugins run on Linux only"))

// Executor is supported on Linux only.
type Executor struct{}

// New returns an error of class not implemented on this system.
func New(ctx context.Context, rootDir string, cli *containerd.Client, ns string, exitHandler ExitHandler, shim string, shimOpts interface{}) (*Executor, error) {
	return nil, errUnsupported
}

// Create returns an error of class not implemented.
func (*Executor) Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
	return errUnsupported
}

// IsRunning returns an error of class not implemented.
func (*Executor) IsRunning(id string) (bool, error) { return false, errUnsupported }

// Restore returns an error of class not implemented.
func (*Executor) Restore(id string, stdout, stderr io.WriteCloser) (bool, error) {
	return false, errUnsupported
}

// Signal returns an error of class not implemented.
func (*Executor) Signal(id string, signal syscall.Signal) error { return errUnsupported }

// Close does nothing.
func (*Executor) Close() error { return nil }
