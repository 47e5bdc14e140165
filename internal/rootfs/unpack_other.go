// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package rootfs

import (
	"archive/tar"
	"context"
	"io"
)

// Unpacker is supported on Linux only.
type Unpacker struct {
	meter *meter
}

// NewUnpacker returns an error of class NotImplemented.
func NewUnpacker(string, Limits) (*Unpacker, error) { return nil, errUnsupported }

// CloseFilesBy does nothing.
func (*Unpacker) CloseFilesBy(func(fd int)) {}

// Close does nothing.
func (*Unpacker) Close() {}

// ApplyAll returns an error of class NotImplemented.
func (*Unpacker) ApplyAll(context.Context, []Source, func(i int, layer Layer) error) error {
	return errUnsupported
}

func (*Unpacker) beginLayer(context.Context) (*layer, error) { return nil, errUnsupported }

type layer struct{}

func (*layer) add(*tar.Header, string, io.Reader) error { return errUnsupported }

func (*layer) finish() error { return errUnsupported }

type unsupportedError struct{}

var errUnsupported error = unsupportedError{}

func (unsupportedError) Error() string { return "unpack archive: only Linux is supported" }

// NotImplemented marks the error's class.
func (unsupportedError) NotImplemented() {}
