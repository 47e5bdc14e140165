// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"io"

	"github.com/opencontainers/go-digest"
)

// Scanner reads archives without unpacking them. Its limits bound all archives
// together. It is not safe for concurrent use.
type Scanner struct {
	meter  *meter
	stored int64 // bytes of the archives before this one
}

// NewScanner returns a scanner that has read nothing.
func NewScanner(limits Limits) *Scanner { return &Scanner{meter: newMeter(limits)} }

// Entry is an entry of a scanned archive.
type Entry struct {
	*tar.Header
	// Content is the content of a file. It is valid until visit returns.
	Content io.Reader
	// Offset is the position of the content in the uncompressed archive. It is
	// meaningless for sparse files.
	Offset int64
}

// IsSparse reports whether the archive has only parts of the file.
func (e Entry) IsSparse() bool { return isSparse(e.Header) }

// Scan reads an archive that is plain or compressed like a layer, and calls visit for
// each entry, on another goroutine. An error of visit ends the scan and is returned.
// Source is read to its end, on the caller's goroutine.
//
// Errors are of class InvalidParameter if the archive is malformed or over a limit.
// Those of source, visit and ctx are wrapped.
func (s *Scanner) Scan(ctx context.Context, source io.Reader, visit func(Entry) error) (Layer, error) {
	plain, err := Decompress(ctx, source, s.meter.limits)
	if err != nil {
		return Layer{}, err
	}
	defer plain.Close()
	before, read, hash := s.stored, s.meter.read, sha256.New()
	s.meter.stored = func() int64 { return before + plain.stored() }
	if err := pump(ctx, plain, hash, func(r io.Reader) error { return s.entries(ctx, r, visit) }); err != nil {
		return Layer{}, err
	}
	// Trailing bytes count for the digest of the compressed archive.
	if _, err := io.Copy(io.Discard, source); err != nil {
		return Layer{}, err
	}
	s.stored += plain.stored()
	return Layer{DiffID: digest.NewDigest(digest.SHA256, hash), Bytes: s.meter.read - read}, nil
}

// Index is [Scanner.Scan] of an uncompressed archive that skips the content of files
// and runs on the caller's goroutine.
func (s *Scanner) Index(ctx context.Context, source io.ReadSeeker, visit func(Entry) error) error {
	return s.entries(ctx, source, visit)
}

func (s *Scanner) entries(ctx context.Context, stream io.Reader, visit func(Entry) error) error {
	archive := s.meter.open(stream)
	for {
		header, content, err := archive.next(ctx)
		if err == io.EOF {
			return archive.drain()
		}
		if err != nil {
			return err
		}
		if header.Typeflag == tar.TypeReg || isSparse(header) {
			if err := s.meter.file(header.Name, header.Size); err != nil {
				return err
			}
		}
		if err := visit(Entry{Header: header, Content: content, Offset: archive.stream.position}); err != nil {
			return err
		}
	}
}

// Copy writes the uncompressed bytes of an archive to w. Limits bound them. Errors are
// those of [Scanner.Scan], without a look at the entries, and of w.
func Copy(ctx context.Context, w io.Writer, source io.Reader, limits Limits) error {
	m := newMeter(limits)
	plain, err := Decompress(ctx, source, m.limits)
	if err != nil {
		return err
	}
	defer plain.Close()
	_, err = io.Copy(w, &meteredReader{meter: m, source: &contextReader{ctx: ctx, from: plain}})
	return err
}
