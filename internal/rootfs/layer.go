package rootfs

import (
	"archive/tar"
	"crypto/sha256"
	"hash"
	"io"
	"time"

	"github.com/klauspost/pgzip"
	"github.com/opencontainers/go-digest"
)

const (
	// layerLevel is the fastest level whose layers are, over binaries, sources
	// and text, within 5 % of those of the standard library's default one.
	layerLevel = 6
	// layerBlockBytes is what one core compresses at a time. The bytes of a
	// layer depend on it, and on nothing that differs between hosts.
	layerBlockBytes = 512 << 10
	// maxLayerBlocks bounds the memory, about 3 MiB a block, on large hosts and
	// of many builds at once.
	maxLayerBlocks = 16
)

// Layer is what was found out about a layer while it was unpacked.
type Layer struct {
	// DiffID is the digest of the uncompressed archive, and Bytes its size.
	DiffID digest.Digest
	Bytes  int64
}

// layerWriter writes a layer: an archive, hashed and compressed on all cores.
type layerWriter struct {
	*tar.Writer
	hash  hash.Hash
	bytes int64 // of the uncompressed archive
	gzip  *pgzip.Writer
	sink  *stickySink
}

func newLayerWriter(w io.Writer, cores int) (*layerWriter, error) {
	sink := &stickySink{sink: w}
	compressor, err := pgzip.NewWriterLevel(sink, layerLevel)
	if err != nil {
		return nil, err
	}
	if err := compressor.SetConcurrency(layerBlockBytes, cores); err != nil {
		return nil, err
	}
	compressor.ModTime = time.Unix(0, 0) // which the format reads as none
	l := &layerWriter{hash: sha256.New(), gzip: compressor, sink: sink}
	l.Writer = tar.NewWriter(rawLayer{l})
	return l, nil
}

// rawLayer takes the bytes of the uncompressed archive.
type rawLayer struct{ *layerWriter }

func (r rawLayer) Write(p []byte) (int, error) {
	r.hash.Write(p)
	r.bytes += int64(len(p))
	if _, err := r.gzip.Write(p); err != nil {
		return 0, err
	}
	return len(p), r.sink.failed()
}

// finish writes the end of the layer.
func (l *layerWriter) finish() error {
	if err := l.Writer.Close(); err != nil {
		return err
	}
	if err := l.gzip.Close(); err != nil {
		return err
	}
	return l.sink.failed()
}

// abandon ends the compressor's goroutines. It does nothing after finish.
func (l *layerWriter) abandon() {
	_ = l.gzip.Close()
}

func (l *layerWriter) diffID() digest.Digest {
	return digest.NewDigest(digest.SHA256, l.hash)
}
