// SPDX-License-Identifier: Apache-2.0

// Package imagefile reads images from files: OCI image layouts, as a directory or as
// an archive, and the archives of docker save. It reads both the form of docker save
// before docker 25, which has manifest.json alone, and the later one, which is a
// layout with manifest.json.
//
// The specifications are
// https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md and
// https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md.
//
// Files are untrusted. Documents and lists are bounded, names stay in their
// directory or archive, and content is compared with its digest.
package imagefile

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/plaintext"
	"github.com/dovetailhq/plugin/internal/rootfs"
)

// Image is an image, or a plugin, for one platform. Its layers are read later.
type Image struct {
	// Config is the content of the config, which matches its digest.
	Config []byte
	// ConfigType is the media type of the config.
	ConfigType string
	// Manifest is the manifest as the layout has it, nil for docker's archives.
	Manifest []byte
	// Platform is the platform in the index that lists the manifest; it can be nil.
	Platform *ocispec.Platform
	// Layers are the layers, lowest first.
	Layers []Layer
}

// Layer is a layer of an image.
type Layer struct {
	// Descriptor has a digest in layouts. Docker's archives before docker 25 have
	// none.
	ocispec.Descriptor

	name  string
	files files
}

// Open returns a reader of the stored layer. It returns io.EOF only if the layer has
// the size and the digest of its descriptor, otherwise an [InvalidError]. The caller
// closes it.
func (l Layer) Open() (io.ReadCloser, error) {
	content, size, err := l.files.open(l.name)
	if err != nil {
		return nil, missing(l.name, err)
	}
	if l.Digest == "" {
		return content, nil
	}
	if size != l.Size {
		_ = content.Close()
		return nil, Invalidf("%s has %d bytes, its descriptor %d", l.name, size, l.Size)
	}
	return &verified{ReadCloser: content, name: l.name, want: l.Digest, got: l.Digest.Algorithm().Digester()}, nil
}

// verified compares content with its digest at its end.
type verified struct {
	io.ReadCloser
	name string
	want digest.Digest
	got  digest.Digester
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	v.got.Hash().Write(p[:n])
	if err == io.EOF && v.got.Digest() != v.want {
		return n, Invalidf("%s does not match its digest: its content has %s", v.name, v.got.Digest())
	}
	return n, err
}

// InvalidError reports a file that is not an image, or not a whole one. Class
// InvalidParameter.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return plaintext.Sprintf("invalid image: %v", e.Err) }

// Unwrap returns the cause.
func (e *InvalidError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (*InvalidError) InvalidParameter() {}

// Invalidf returns an InvalidError with a text as of [fmt.Errorf].
func Invalidf(format string, args ...any) error {
	return &InvalidError{Err: fmt.Errorf(format, args...)}
}

// missing returns an InvalidError for a file that the image lacks, and other errors
// as they are.
func missing(name string, err error) error {
	if isMissing(err) {
		return Invalidf("it has no %s", name)
	}
	return fmt.Errorf("read %s: %w", name, err)
}

// documents reads the documents of an image within limits.
type documents struct {
	files  files
	limits Limits
}

// Limits bound what an image may cost its reader.
type Limits struct {
	// Archives bound an image's archive. Their ConfigBytes bound a config; zero
	// means 1 MiB.
	Archives rootfs.Limits
	// ManifestBytes bounds a manifest and an index. Zero means 4 MiB.
	ManifestBytes int64
}

// MaxConfigBytes returns the limit of a config.
func (l Limits) MaxConfigBytes() int64 { return cmp.Or(l.Archives.ConfigBytes, defaultConfigBytes) }

func (l Limits) maxManifestBytes() int64 { return cmp.Or(l.ManifestBytes, defaultManifestBytes) }

const (
	defaultManifestBytes = 4 << 20
	defaultConfigBytes   = 1 << 20
	// maxImageEntries bounds the entries of an image's archive: docker save writes
	// four for a layer.
	maxImageEntries = 1 << 14
	// maxNameBytes is above the length of any name that a reader looks up.
	maxNameBytes = 512
)

// read returns the content of a file of at most limit bytes.
func (d documents) read(name string, limit int64) ([]byte, error) {
	content, size, err := d.files.open(name)
	if err != nil {
		return nil, missing(name, err)
	}
	defer content.Close()
	if size > limit {
		return nil, Invalidf("%s has %d bytes, the limit is %d", name, size, limit)
	}
	data, err := io.ReadAll(io.LimitReader(content, limit+1))
	if err != nil {
		return nil, missing(name, err)
	}
	if int64(len(data)) > limit { // it has grown
		return nil, Invalidf("%s has more than %d bytes", name, limit)
	}
	return data, nil
}

// decode reads a JSON document.
func (d documents) decode(name string, limit int64, into any) error {
	data, err := d.read(name, limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return Invalidf("%s: %w", name, err)
	}
	return nil
}

func (d documents) has(name string) (bool, error) {
	content, _, err := d.files.open(name)
	if isMissing(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, content.Close()
}

// File is an open layout or archive. It can be read concurrently.
type File struct {
	documents documents
}

// Open opens the layout or archive at path. Compressed archives, and those that are
// not regular files, are copied to an unnamed file in scratch, which has to exist. The
// caller closes the file.
//
// The error is an [InvalidError], or of class InvalidParameter for a malformed archive
// or one above a limit, or that of the file system or of ctx.
func Open(ctx context.Context, path, scratch string, limits Limits) (*File, error) {
	all, err := openFiles(ctx, path, scratch, limits.Archives)
	if err != nil {
		return nil, err
	}
	return &File{documents{files: all, limits: limits}}, nil
}

// Close closes the file. Layers can't be opened after it.
func (f *File) Close() error { return f.documents.files.Close() }

// Image returns the image for a platform. Nil means the platform of an image without
// variants, and this host's platform of an index. The error is an [InvalidError], or of
// class NotFound if there is no variant for the platform.
func (f *File) Image(want *ocispec.Platform) (*Image, error) {
	isLayout, err := f.documents.has(ocispec.ImageLayoutFile)
	if err != nil {
		return nil, err
	}
	if isLayout {
		return f.documents.ofLayout(want)
	}
	return f.documents.ofDocker()
}
