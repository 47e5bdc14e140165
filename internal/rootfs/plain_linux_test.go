// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"context"
	"crypto/sha256"
	"io"

	"github.com/opencontainers/go-digest"
)

// applyPlain unpacks one layer, an uncompressed archive, on the caller's goroutine.
// It is the plain form of [Unpacker.ApplyAll].
func (u *Unpacker) applyPlain(ctx context.Context, stream io.Reader) (Layer, error) {
	hash := sha256.New()
	read := u.meter.read
	err := pump(ctx, stream, hash, func(r io.Reader) error {
		return u.unpack(ctx, u.meter.open(r))
	})
	if err != nil {
		return Layer{}, err
	}
	return Layer{DiffID: digest.NewDigest(digest.SHA256, hash), Bytes: u.meter.read - read}, nil
}
