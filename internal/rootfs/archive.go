// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"context"
	"errors"
	"io"
)

// ordinaryHeaderBytes of an entry's headers are not counted against
// Limits.HeaderBytes. They hold a path of maximal length and some attributes.
const ordinaryHeaderBytes = 8 << 10

// archiveReader reads the entries of one archive and enforces its limits.
type archiveReader struct {
	*tar.Reader
	meter  *meter
	stream *meteredReader
}

func (m *meter) open(stream io.Reader) *archiveReader {
	metered := &meteredReader{meter: m, source: stream}
	return &archiveReader{Reader: tar.NewReader(metered), meter: m, stream: metered}
}

// next returns the next entry, or io.EOF, and counts the entry. Content is valid
// until the next call. It returns the cause of ctx once ctx has ended.
func (a *archiveReader) next(ctx context.Context) (header *tar.Header, content io.Reader, err error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	a.stream.inHeader, a.stream.header = true, 0
	header, err = a.Next()
	a.stream.inHeader = false
	if err == io.EOF {
		return nil, nil, err
	}
	if err != nil {
		return nil, nil, formatError(err)
	}
	return header, a, a.meter.begin(header.Name, a.stream.header)
}

// drain reads the rest of the stream. Padding after the end mark counts for a
// layer's digest, and a client that is still sending padding expects the server
// to read it. Bytes there that can't be decompressed end the stream, because the
// archive is complete: docker does not read them.
func (a *archiveReader) drain() error {
	_, err := io.Copy(io.Discard, a.stream)
	if err == nil || isFormatError(err) {
		return nil
	}
	return formatError(err)
}

// meteredReader counts the bytes read from an archive, headers included: one
// header can be a mebibyte, and an archive can consist of headers alone.
type meteredReader struct {
	meter    *meter
	source   io.Reader
	position int64
	inHeader bool  // the reader is at the headers of an entry
	header   int64 // bytes read of these headers
	// onLarge is called before more than ordinaryHeaderBytes of an entry's headers
	// are returned. It can be nil.
	onLarge func() error
}

func (r *meteredReader) Read(p []byte) (int, error) {
	n, err := r.source.Read(p)
	if r.inHeader {
		before := max(r.header, ordinaryHeaderBytes)
		r.header += int64(n)
		if r.header > ordinaryHeaderBytes && r.onLarge != nil {
			if err := r.onLarge(); err != nil {
				return n, err
			}
		}
		if limit := r.meter.keep(max(0, r.header-before)); limit != nil {
			return n, limit
		}
	}
	if limit := r.count(int64(n)); limit != nil {
		return n, limit
	}
	return n, err
}

func (r *meteredReader) count(n int64) error {
	r.position += n
	return r.meter.advance(n)
}

// Seek skips content. archive/tar seeks over the unread content of an entry if
// its source can, so that it reads only headers between entries.
func (r *meteredReader) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekCurrent || offset < 0 {
		return 0, errors.ErrUnsupported
	}
	if seeker, ok := r.source.(io.Seeker); ok {
		if err := r.count(offset); err != nil {
			return r.position, err
		}
		_, err := seeker.Seek(offset, io.SeekCurrent)
		return r.position, err
	}
	_, err := io.CopyN(contentOf{r}, r.source, offset)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return r.position, err
}

// contentOf counts the bytes that are skipped and discards them.
type contentOf struct{ *meteredReader }

func (c contentOf) Write(p []byte) (int, error) { return len(p), c.count(int64(len(p))) }

// sparseRecord is the prefix of the PAX records of sparse files.
const sparseRecord = "GNU.sparse."

// isSparse reports whether the archive holds only the data of a file and not its
// holes.
func isSparse(header *tar.Header) bool {
	if header.Typeflag == tar.TypeGNUSparse {
		return true
	}
	_, mapped := header.PAXRecords[sparseRecord+"map"] // versions 0.0 and 0.1
	return mapped || header.PAXRecords[sparseRecord+"major"] != ""
}

// Source opens a stored layer, compressed or not, at its beginning. The layer may
// still be arriving. Reads from the returned reader must fail when ctx ends. A source
// can be called again, also while its reader is in use.
type Source func(ctx context.Context) (io.ReadCloser, error)

// contextReader is a reader that fails after the end of its context.
type contextReader struct {
	ctx  context.Context
	from io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.from.Read(p)
}
