package rootfs

import (
	"archive/tar"
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/opencontainers/go-digest"
)

const (
	configName = "config.json"
	rootfsName = "rootfs"
)

// SplitOptions tell where the parts of a build context go.
type SplitOptions struct {
	// Directory is where the rootfs is unpacked: it exists and is empty.
	Directory string
	// Layer gets the rootfs as a gzip-compressed layer.
	Layer io.Writer
	// CloseFile closes the files of the rootfs; see [Unpacker.CloseFilesBy].
	CloseFile func(fd int)
	// Limits bound what is read and unpacked.
	Limits Limits
}

// Parts is what a build context was found to be made of.
type Parts struct {
	// Config is the content of config.json.
	Config []byte
	// DiffID is the digest of the uncompressed layer, and LayerBytes its size.
	DiffID     digest.Digest
	LayerBytes int64
}

// Split reads a build context, an archive of config.json and of rootfs/, plain
// or compressed as a layer may be, and in one pass unpacks the rootfs and
// writes it as a layer, with an entry of the root itself if the context has one
// of rootfs/. Other entries at the top are ignored. What [Unpacker.Apply] makes
// of the layer is what Split unpacked, and the same context gives the same
// layer on every host.
//
// A context that is not a plugin, or hostile, or beyond a limit is refused with
// an error of class InvalidParameter; a host that can't write is an error of
// class System; an error of buildContext, of options.Layer or of ctx comes out
// wrapped. After any, directory and layer are to be thrown away. Only a Read
// of buildContext, which stays on the caller's goroutine, can keep Split
// waiting after ctx has ended.
func Split(ctx context.Context, buildContext io.Reader, options SplitOptions) (Parts, error) {
	unpacker, err := NewUnpacker(options.Directory, options.Limits)
	if err != nil {
		return Parts{}, err
	}
	defer unpacker.Close()
	unpacker.CloseFilesBy(options.CloseFile)
	cores, release := unpacker.meter.limits.Budget.compressors(min(runtime.GOMAXPROCS(0), maxLayerBlocks))
	defer release()
	layer, err := newLayerWriter(options.Layer, cores)
	if err != nil {
		return Parts{}, fmt.Errorf("write layer: %w", err)
	}
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
	return Parts{Config: s.config, DiffID: layer.diffID(), LayerBytes: layer.bytes}, nil
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
	// A layer that can't be written fails the entry that was to go into it.
	if failed := s.layer.sink.failed(); failed != nil {
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
		header, err := archive.next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := s.entry(header, archive); err != nil {
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
		return &ContextError{Reason: "config.json is there twice"}
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

// file writes an entry into the layer and, at the same time, to disk.
func (s *splitter) file(header *tar.Header, name string, content io.Reader) error {
	header, err := layerHeader(header, name)
	if err != nil {
		return err
	}
	if err := s.layer.WriteHeader(header); err != nil {
		return &EntryError{Entry: header.Name, Reason: err.Error()}
	}
	both := io.TeeReader(content, s.layer)
	if err := s.rootfs.add(header, name, both); err != nil {
		return err
	}
	// What is not a file has no use for its content, but the layer keeps it.
	if _, err := io.Copy(io.Discard, both); err != nil {
		return formatError(err)
	}
	return nil
}

// layerHeader is an entry's header in the layer: without rootfs/, and in the
// one format that can say all that the others can.
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
			return nil, &EntryError{Entry: header.Name, Reason: "it is a hard link out of rootfs"}
		}
		below, ok := strings.CutPrefix(target, rootfsName+"/")
		if !ok {
			return nil, &EntryError{Entry: header.Name, Reason: "it is a hard link out of rootfs"}
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
