// SPDX-License-Identifier: Apache-2.0

//go:build stdgzip

package rootfs

import (
	"bufio"
	"compress/gzip"
	"io"
)

func newGzipReader(source *bufio.Reader, _ *Budget, _ int) (r io.Reader, recycle func(), err error) {
	r, err = gzip.NewReader(source)
	return r, func() {}, err
}
