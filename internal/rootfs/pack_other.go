// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package rootfs

import (
	"archive/tar"
	"context"
	"io"
)

func pack(context.Context, string, *meter, func(*tar.Header, io.Reader) error) error {
	return errUnsupported
}
