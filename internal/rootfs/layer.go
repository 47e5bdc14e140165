// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"crypto/sha256"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
)

// maxLayerBlocks bounds the memory of compression, about 2 MiB a block, on large hosts
// and during concurrent builds.
const maxLayerBlocks = 16

// Layer describes a layer that was unpacked.
type Layer struct {
	DiffID digest.Digest // digest of the uncompressed archive
	Bytes  int64         // size of the uncompressed archive
}

// layerWriter writes a layer: an archive that is hashed, and compressed on
// several cores.
type layerWriter struct {
	*tar.Writer
	hash hash.Hash
	gzip *Compressor
}

func newLayerWriter(w io.Writer, budget *Budget) *layerWriter {
	l := &layerWriter{hash: sha256.New(), gzip: NewCompressor(w, budget)}
	l.Writer = tar.NewWriter(rawLayer{l})
	return l
}

// rawLayer receives the bytes of the uncompressed archive.
type rawLayer struct{ *layerWriter }

func (r rawLayer) Write(p []byte) (int, error) {
	r.hash.Write(p)
	return r.gzip.Write(p)
}

// finish writes the end of the layer.
func (l *layerWriter) finish() error {
	if err := l.Writer.Close(); err != nil {
		return err
	}
	return l.gzip.Close()
}

// abandon stops the compressor's goroutines. It does nothing after finish.
func (l *layerWriter) abandon() {
	_ = l.gzip.Close() // Split returns its error
}

func (l *layerWriter) diffID() digest.Digest {
	return digest.NewDigest(digest.SHA256, l.hash)
}
