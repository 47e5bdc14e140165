// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"path"
	"strings"
)

// entries are the entries of an archive, in its order.
type entries interface {
	// next returns the next entry, or io.EOF, and counts the entry. Content is
	// valid until the next call.
	next(ctx context.Context) (header *tar.Header, content io.Reader, err error)
	// drain reads the bytes after the last entry.
	drain() error
}

const (
	// entryBytes is the memory of an entry without its texts, and recordBytes that of
	// an extended attribute in its map.
	entryBytes  = 512
	recordBytes = 150
	// maxAheadEntries of a layer ahead of its turn take all the memory for them.
	maxAheadEntries = aheadMemoryBytes / entryBytes
	// smallBytes is the size up to which files stay in memory.
	smallBytes = 64 << 10
)

// aheadEntry is an entry that was read ahead of its layer's turn.
type aheadEntry struct {
	header      *tar.Header
	content     io.Reader // of a regular file
	headerBytes int64
	position    int64 // of the archive, after the header
	stored      int64 // compressed bytes of the layer so far
	memory      int64 // bytes to release
	// rest continues the archive after this entry: the turn has come. Without a
	// header there is no entry here.
	rest *archiveReader
	// err ends the archive, io.EOF included.
	err error
}

// fails reports whether the replay fails at the entry.
func (e *aheadEntry) fails() bool {
	made, ok := e.content.(*pooledFile)
	return ok && made.err != nil || e.err != nil && e.err != io.EOF
}

func (e *aheadEntry) release(budget *Budget) {
	budget.memory.Release(e.memory)
	e.memory = 0
}

// readAhead reads entries until the turn comes, and then passes the archive on. It
// returns false after an error.
func (a *aheadLayer) readAhead(ctx context.Context) bool {
	limits := a.limits
	limits.EntryRatio = math.MaxInt64 // earlier layers count as well; the replay checks it
	m := newMeter(limits)
	archive := m.open(a.pipe)
	// Headers take many times their bytes once they are parsed.
	archive.stream.onLarge = func() error { return a.awaitTurn(ctx) }
	for !a.isTurn() {
		e := a.readEntry(ctx, archive)
		if !a.send(ctx, e) || e.fails() {
			return false
		}
		if e.rest != nil || e.err != nil {
			return true
		}
	}
	return a.send(ctx, &aheadEntry{rest: archive, position: archive.stream.position, stored: a.stored()})
}

func (a *aheadLayer) send(ctx context.Context, e *aheadEntry) bool {
	select {
	case a.entries <- e:
		return true
	case <-ctx.Done():
		e.release(a.limits.Budget)
		return false
	}
}

// readEntry reads an entry with its content, if that can be done ahead.
func (a *aheadLayer) readEntry(ctx context.Context, archive *archiveReader) *aheadEntry {
	header, _, err := archive.next(ctx)
	if err == io.EOF {
		if err = archive.drain(); err == nil {
			return &aheadEntry{position: archive.stream.position, err: io.EOF}
		}
	}
	if err != nil {
		return &aheadEntry{position: archive.stream.position, err: a.explain(err)}
	}
	e := &aheadEntry{header: header, headerBytes: archive.stream.header, position: archive.stream.position, stored: a.stored()}
	if a.isTurn() || !a.reserve(ctx, e) || !a.readContent(ctx, e, archive) {
		// The turn has come, or ctx has ended and the entry is not sent.
		e.content, e.rest = archive, archive
	}
	return e
}

// reserve takes memory for the entry, or waits for the turn and returns false.
func (a *aheadLayer) reserve(ctx context.Context, e *aheadEntry) bool {
	e.header = kept(e.header)
	bytes := memoryOf(e.header)
	if !a.limits.Budget.memory.TryAcquire(bytes) {
		_ = a.awaitTurn(ctx) // the entry is not sent after the end of ctx
		return false
	}
	e.memory = bytes
	return true
}

func (a *aheadLayer) awaitTurn(ctx context.Context) error {
	if a.isTurn() {
		return nil // ctx may have ended: the source was read to its end
	}
	select {
	case <-a.turn:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// kept returns the parts of a header that the unpacker uses, without the memory of
// the archive that the others share.
func kept(header *tar.Header) *tar.Header {
	h := *header
	h.Name, h.Linkname, h.Uname, h.Gname = strings.Clone(h.Name), strings.Clone(h.Linkname), "", ""
	h.Xattrs, h.PAXRecords = nil, nil //nolint:staticcheck // the reader sets the deprecated field
	for record, value := range header.PAXRecords {
		if !strings.HasPrefix(record, xattrRecord) && !strings.HasPrefix(record, sparseRecord) {
			continue
		}
		if h.PAXRecords == nil {
			h.PAXRecords = make(map[string]string)
		}
		h.PAXRecords[strings.Clone(record)] = strings.Clone(value)
	}
	return &h
}

// memoryOf returns the memory of a header.
func memoryOf(header *tar.Header) int64 {
	bytes := entryBytes + len(header.Name) + len(header.Linkname)
	for record, value := range header.PAXRecords {
		bytes += recordBytes + len(record) + len(value)
	}
	return int64(bytes)
}

// explain returns the error of the source, if it is the cause. The caller is the
// reader of the pipe.
func (a *aheadLayer) explain(err error) error {
	if a.pipe.failed != nil {
		return fmt.Errorf("read archive: %w", a.pipe.failed)
	}
	return err
}

// readContent keeps the content of a file in memory or in the pool. It returns false
// when the turn comes first. Content that the unpacker does not read is left.
func (a *aheadLayer) readContent(ctx context.Context, e *aheadEntry, archive *archiveReader) bool {
	header := e.header
	switch {
	case !isFile(header):
		return true
	case isSparse(header):
		_ = a.awaitTurn(ctx) // its ratio counts the layers before it
		return false
	case header.Size <= smallBytes && a.limits.Budget.memory.TryAcquire(header.Size):
		e.memory += header.Size
		content := make([]byte, header.Size)
		if _, err := io.ReadFull(archive, content); err != nil {
			e.content = &pooledFile{err: a.explain(formatError(err))}
			return true
		}
		e.content = bytes.NewReader(content)
		return true
	case !a.pool.reserve(header.Size):
		_ = a.awaitTurn(ctx)
		return false
	}
	buffer := blockMemory.Get().(*[pumpBlockBytes]byte)
	defer blockMemory.Put(buffer)
	writer := &layer{ctx: ctx, meter: archive.meter, buffer: buffer[:], closeFile: a.pool.closeFile}
	made := a.pool.write(writer, header, archive)
	if made.err != nil {
		made.err = a.explain(made.err)
	}
	e.content = made
	return true
}

// isFile reports whether an entry makes a regular file.
func isFile(header *tar.Header) bool {
	if header.Typeflag != tar.TypeReg && header.Typeflag != tar.TypeGNUSparse {
		return false
	}
	name := rootedName(header.Name)
	_, mark := whiteout(path.Base(name))
	return name != "" && !mark
}

// replay are the entries of a layer at its turn: those that were read ahead, and
// then those of the archive.
type replay struct {
	layer    *aheadLayer
	meter    *meter
	position int64 // of the archive, as far as it was counted
	current  aheadEntry
	direct   *archiveReader // nil before
}

func (r *replay) next(ctx context.Context) (*tar.Header, io.Reader, error) {
	r.release()
	if r.direct != nil {
		return r.direct.next(ctx)
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	select {
	case <-r.layer.opened:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	select {
	case e := <-r.layer.entries:
		r.current = *e
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	return r.count(ctx)
}

// count counts the current entry as [archiveReader.next] does.
func (r *replay) count(ctx context.Context) (*tar.Header, io.Reader, error) {
	e := r.current
	if err := r.meter.keep(max(0, e.headerBytes-ordinaryHeaderBytes)); err != nil {
		return nil, nil, err
	}
	if err := r.meter.advance(e.position - r.position); err != nil {
		return nil, nil, err
	}
	r.position = e.position
	if r.direct = e.rest; r.direct != nil {
		r.direct.meter, r.direct.stream.meter = r.meter, r.meter
	}
	switch {
	case e.err != nil:
		return nil, nil, e.err
	case e.header == nil:
		return r.direct.next(ctx)
	}
	return e.header, e.content, r.meter.begin(e.header.Name, e.headerBytes)
}

func (r *replay) drain() error {
	if r.direct == nil {
		return nil
	}
	if err := r.direct.drain(); err != nil {
		return err
	}
	r.layer.pipe.failed = nil // no reason for a later error
	return nil
}

// release releases the memory of the current entry.
func (r *replay) release() {
	r.current.release(r.layer.limits.Budget)
	r.current = aheadEntry{stored: r.current.stored}
}

// stored returns how many bytes of the stored layer were read for the entries so far.
func (r *replay) stored() int64 {
	if r.direct != nil || r.current.err != nil {
		return r.layer.stored()
	}
	return r.current.stored
}

// explain returns the error of the source, if it is the cause.
func (r *replay) explain(err error) error {
	if r.direct != nil {
		return r.layer.explain(err)
	}
	return err
}
