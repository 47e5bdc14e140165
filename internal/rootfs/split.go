// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
)

const (
	configName = "config.json"
	rootfsName = "rootfs"
)

// SplitOptions are the destinations and limits of [Split].
type SplitOptions struct {
	// Directory is where the rootfs is unpacked. It must exist and be empty.
	Directory string
	// Layer receives the rootfs as a gzip-compressed layer.
	Layer io.Writer
	// CloseFile closes the files of the rootfs; see [Unpacker.CloseFilesBy].
	CloseFile func(fd int)
	// Limits bound the build context and the unpacked rootfs.
	Limits Limits
}

// Parts describes the parts of a build context.
type Parts struct {
	// Config is the content of config.json.
	Config []byte
	// DiffID is the digest of the uncompressed layer.
	DiffID digest.Digest
}

// Split reads a build context, an archive of config.json and rootfs/ that is
// plain or compressed like a layer. In one pass it unpacks the rootfs and writes
// it as a layer. The layer has an entry of the root if the context has an entry
// rootfs/. Other entries at the top are ignored. [Unpacker.ApplyAll] makes the same
// tree of the layer, and the same context gives the same layer on every host.
//
// Split returns an error of class InvalidParameter if the context is not a
// plugin, hostile or over a limit, and one of class System if the host can't
// write. Errors of buildContext, options.Layer and ctx are wrapped. After an
// error the caller discards the directory and the layer. Split reads
// buildContext on the caller's goroutine; after the end of ctx only such a Read
// can delay it.
func Split(ctx context.Context, buildContext io.Reader, options SplitOptions) (Parts, error) {
	unpacker, err := NewUnpacker(options.Directory, options.Limits)
	if err != nil {
		return Parts{}, err
	}
	defer unpacker.Close()
	unpacker.CloseFilesBy(options.CloseFile)
	layer := newLayerWriter(options.Layer, unpacker.meter.limits.Budget)
	defer layer.abandon()

	plain, err := Decompress(ctx, buildContext, unpacker.meter.limits)
	if err != nil {
		return Parts{}, err
	}
	defer plain.Close()

	unpacker.meter.stored = plain.stored
	s := &splitter{unpacker: unpacker, layer: layer}
	if err := pump(ctx, plain, nil, func(r io.Reader) error { return s.split(ctx, r) }); err != nil {
		return Parts{}, err
	}
	return Parts{Config: s.config, DiffID: layer.diffID()}, nil
}

// splitter is one pass over a build context.
type splitter struct {
	unpacker  *Unpacker
	layer     *layerWriter
	rootfs    *layer
	hasRootfs bool
	config    []byte
}

func (s *splitter) split(ctx context.Context, stream io.Reader) error {
	err := s.entries(ctx, stream)
	if err == nil {
		err = s.layer.finish()
	}
	// If the layer can't be written, err names an entry that is not to blame.
	if failed := s.layer.gzip.Err(); failed != nil {
		return fmt.Errorf("write layer: %w", failed)
	}
	return err
}

func (s *splitter) entries(ctx context.Context, stream io.Reader) (err error) {
	if s.rootfs, err = s.unpacker.beginLayer(ctx); err != nil {
		return err
	}
	archive := s.unpacker.meter.open(stream)
	for {
		header, content, err := archive.next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := s.entry(header, content); err != nil {
			return err
		}
	}
	if err := archive.drain(); err != nil {
		return err
	}
	if err := s.complete(); err != nil {
		return err
	}
	return s.rootfs.finish()
}

func (s *splitter) entry(header *tar.Header, content io.Reader) error {
	name, err := contextName(header.Name)
	if err != nil {
		return err
	}
	top, below, nested := strings.Cut(name, "/")
	switch {
	case header.Typeflag == tar.TypeXGlobalHeader:
		return nil
	case top == configName:
		return s.readConfig(header, nested, content)
	case top == rootfsName && nested:
		s.hasRootfs = true
		return s.file(header, below, content)
	case top == rootfsName:
		if header.Typeflag != tar.TypeDir {
			return &ContextError{Reason: "rootfs is not a directory"}
		}
		s.hasRootfs = true
		return s.file(header, below, content)
	}
	return nil
}

func (s *splitter) readConfig(header *tar.Header, nested bool, content io.Reader) error {
	if nested || header.Typeflag != tar.TypeReg {
		return &ContextError{Reason: "config.json is not a regular file"}
	}
	if s.config != nil {
		return &ContextError{Reason: "config.json occurs twice"}
	}
	if limit := s.unpacker.meter.limits.ConfigBytes; header.Size > limit {
		return &LimitError{Limit: "ConfigBytes", Max: limit, Entry: header.Name}
	}
	config, err := io.ReadAll(content)
	if err != nil {
		return formatError(err)
	}
	s.config = config
	return nil
}

// file writes an entry to the layer and to disk at the same time.
func (s *splitter) file(header *tar.Header, name string, content io.Reader) error {
	inLayer, err := layerHeader(header, name)
	if err != nil {
		return err
	}
	if err := s.layer.WriteHeader(inLayer); err != nil {
		return &EntryError{Entry: inLayer.Name, Reason: err.Error()}
	}
	onDisk := *inLayer
	onDisk.Typeflag = header.Typeflag // a sparse file stays one on disk
	both := io.TeeReader(content, s.layer)
	if err := s.rootfs.add(&onDisk, name, both); err != nil {
		return err
	}
	// add reads the content of regular files only; the layer keeps all content.
	if _, err := io.Copy(io.Discard, both); err != nil {
		return formatError(err)
	}
	return nil
}

// layerHeader returns an entry's header for the layer. Names lose the prefix
// rootfs/, and the format is PAX, which can represent all others.
func layerHeader(header *tar.Header, name string) (*tar.Header, error) {
	h := *header
	h.Name = cmp.Or(name, ".")
	h.Format = tar.FormatPAX
	switch h.Typeflag {
	case tar.TypeReg:
		return &h, nil
	case tar.TypeGNUSparse:
		h.Typeflag = tar.TypeReg
		return &h, nil
	case tar.TypeDir:
		h.Name += "/"
	case tar.TypeLink:
		target, err := contextName(h.Linkname)
		if err != nil {
			return nil, &EntryError{Entry: header.Name, Reason: "hard link target is outside rootfs"}
		}
		below, ok := strings.CutPrefix(target, rootfsName+"/")
		if !ok {
			return nil, &EntryError{Entry: header.Name, Reason: "hard link target is outside rootfs"}
		}
		h.Linkname = below
	}
	h.Size = 0
	return &h, nil
}

func (s *splitter) complete() error {
	if s.config == nil {
		return &ContextError{Reason: "config.json is missing"}
	}
	if !s.hasRootfs {
		return &ContextError{Reason: "rootfs is missing"}
	}
	return nil
}
