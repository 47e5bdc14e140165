// SPDX-License-Identifier: Apache-2.0

package distribution

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/imagefile"
	"github.com/dovetailhq/plugin/internal/remote"
	"github.com/dovetailhq/plugin/internal/rootfs"
	v2 "github.com/dovetailhq/plugin/v2"
)

// Local is a plugin in an OCI image layout, with a valid config.
type Local struct {
	PluginConfig types.PluginConfig
	// Config and Manifest are the digests of documents in the store, and Blobsums
	// those of the layers, lowest first.
	Config, Manifest digest.Digest
	Blobsums         []digest.Digest

	source Source
	pin    *blobs.Pin
	layers []imagefile.Layer
}

// Open stores config and manifest of a plugin in a layout; pin holds them. Errors:
// [remote.UnsupportedError], [rootfs.LimitError], [v2.InvalidConfigError] and
// [MismatchError], and [remote.StoreError].
func (s Source) Open(ctx context.Context, pin *blobs.Pin, image *imagefile.Image) (*Local, error) {
	if image.Manifest == nil {
		return nil, &remote.UnsupportedError{What: "config", Type: image.ConfigType, Why: "it is an image, not a plugin"}
	}
	document, err := remote.Parse(image.Manifest, "")
	if err != nil {
		return nil, err
	}
	if err := document.CheckPlugin(); err != nil {
		return nil, err
	}
	l := &Local{source: s, pin: pin, layers: image.Layers}
	if l.PluginConfig, err = v2.ParseConfig(image.Config); err != nil {
		return nil, err
	}
	if err := v2.ValidateConfig(l.PluginConfig); err != nil {
		return nil, err
	}
	if err := checkDiffIDCount(l.PluginConfig, len(l.layers)); err != nil {
		return nil, err
	}
	if err := s.Limits.CheckStored(sizes(document.Layers)); err != nil {
		return nil, err
	}
	for _, layer := range document.Layers {
		l.Blobsums = append(l.Blobsums, layer.Digest)
	}
	if l.Config, err = s.Blobs.Put(ctx, pin, image.Config); err != nil {
		return nil, &remote.StoreError{Err: err}
	}
	if l.Manifest, err = s.Blobs.Put(ctx, pin, image.Manifest); err != nil {
		return nil, &remote.StoreError{Err: err}
	}
	return l, nil
}

// Unpack stores the layers, and unpacks them into directory as they are read. Files are
// closed by closeFile; see [rootfs.Unpacker.CloseFilesBy].
func (l *Local) Unpack(ctx context.Context, directory string, closeFile func(fd int)) error {
	sources := make([]rootfs.Source, len(l.layers))
	for i, layer := range l.layers {
		sources[i] = func(ctx context.Context) (io.ReadCloser, error) { return l.store(ctx, layer) }
	}
	return unpack(ctx, directory, closeFile, l.source.Limits, sources, func(i int, applied rootfs.Layer) error {
		return checkDiffID(l.PluginConfig, i, applied.DiffID, l.Blobsums[i])
	})
}

// unpack unpacks layers into a directory, and calls applied after each.
func unpack(ctx context.Context, directory string, closeFile func(fd int), limits rootfs.Limits, sources []rootfs.Source, applied func(i int, layer rootfs.Layer) error) error {
	unpacker, err := rootfs.NewUnpacker(directory, limits)
	if err != nil {
		return err
	}
	defer unpacker.Close()
	unpacker.CloseFilesBy(closeFile)
	return unpacker.ApplyAll(ctx, sources, applied)
}

// store opens a layer that is stored while it is read.
func (l *Local) store(ctx context.Context, layer imagefile.Layer) (io.ReadCloser, error) {
	content, err := layer.Open()
	if err != nil {
		return nil, err
	}
	ingest, err := l.source.Blobs.Ingest(ctx, l.pin)
	if err != nil {
		return nil, errors.Join(&remote.StoreError{Err: err}, content.Close())
	}
	return &storing{ReadCloser: content, ctx: ctx, ingest: ingest, want: layer.Digest}, nil
}

// storing is a layer that becomes a blob at its end. Its readers get the end after that.
type storing struct {
	io.ReadCloser
	ctx    context.Context // ends the commit; its lifetime is the reader's
	ingest *blobs.Ingest
	want   digest.Digest
	err    error // of all further reads
}

func (s *storing) Read(p []byte) (n int, err error) {
	if s.err != nil {
		return 0, s.err
	}
	n, s.err = s.read(p)
	return n, s.err
}

func (s *storing) read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	n, err := s.ReadCloser.Read(p)
	if _, written := s.ingest.Write(p[:n]); written != nil {
		return n, written
	}
	if err != io.EOF {
		return n, err
	}
	blob, err := s.ingest.Commit(s.ctx)
	if err != nil {
		return n, &remote.StoreError{Err: err}
	}
	if blob.Digest != s.want { // impossible, because layers check their digests
		return n, fmt.Errorf("store layer %s: it became %s", s.want, blob.Digest)
	}
	return n, io.EOF
}

// Close gives up a layer that was not read to its end.
func (s *storing) Close() error {
	s.ingest.Abort()
	return s.ReadCloser.Close()
}
