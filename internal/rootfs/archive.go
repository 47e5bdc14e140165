package rootfs

import (
	"archive/tar"
	"context"
	"errors"
	"io"
)

// ordinaryHeaderBytes are what the headers of one entry may have without being
// counted against Limits.HeaderBytes: a path of the longest kind and attributes.
const ordinaryHeaderBytes = 8 << 10

// archiveReader reads the entries of one archive, and holds it to its limits.
type archiveReader struct {
	*tar.Reader
	meter  *meter
	stream *meteredReader
}

func (m *meter) open(stream io.Reader) *archiveReader {
	metered := &meteredReader{meter: m, source: stream}
	return &archiveReader{Reader: tar.NewReader(metered), meter: m, stream: metered}
}

// next returns the header of the next entry, counted, or io.EOF. It fails with
// ctx.
func (a *archiveReader) next(ctx context.Context) (*tar.Header, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	a.stream.inHeader, a.stream.header = true, 0
	header, err := a.Next()
	a.stream.inHeader = false
	if err == io.EOF {
		return nil, err
	}
	if err != nil {
		return nil, formatError(err)
	}
	if err := a.meter.parsed(header.Name, a.stream.header); err != nil {
		return nil, err
	}
	return header, a.meter.entry(header.Name)
}

// drain reads the rest of the stream: padding after the end mark belongs to a
// layer's digest, and a client that is still sending its own expects it to be
// read.
func (a *archiveReader) drain() error {
	if _, err := io.Copy(io.Discard, a.stream); err != nil {
		return formatError(err)
	}
	return nil
}

// meteredReader counts what is read of an archive, its headers included: one may
// be a mebibyte, and an archive may hold nothing else.
type meteredReader struct {
	meter    *meter
	source   io.Reader
	position int64
	inHeader bool  // what is read belongs to the headers of one entry
	header   int64 // how much of it was read
}

func (r *meteredReader) Read(p []byte) (int, error) {
	n, err := r.source.Read(p)
	if r.inHeader {
		before := max(r.header, ordinaryHeaderBytes)
		r.header += int64(n)
		if limit := r.meter.keep(max(0, r.header-before)); limit != nil {
			return n, limit
		}
	}
	if limit := r.count(n); limit != nil {
		return n, limit
	}
	return n, err
}

func (r *meteredReader) count(n int) error {
	r.position += int64(n)
	r.meter.read += int64(n)
	if r.meter.read > r.meter.limits.UnpackedBytes {
		return &LimitError{Limit: "UnpackedBytes", Max: r.meter.limits.UnpackedBytes}
	}
	return nil
}

// Seek skips content: archive/tar seeks, where it can, over what was not read of
// an entry, and all that it reads while it looks for the next one are headers.
func (r *meteredReader) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekCurrent || offset < 0 {
		return 0, errors.ErrUnsupported
	}
	_, err := io.CopyN(contentOf{r}, r.source, offset)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return r.position, err
}

// contentOf counts what is skipped, and keeps nothing of it.
type contentOf struct{ *meteredReader }

func (c contentOf) Write(p []byte) (int, error) { return len(p), c.count(len(p)) }
