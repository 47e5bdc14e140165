// SPDX-License-Identifier: Apache-2.0

package build

import (
	"archive/tar"
	"context"
	"encoding/json"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/pkg/progress"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/distribution"
	"github.com/dovetailhq/plugin/internal/remote"
)

// Join returns the descriptor of one plugin as it is, and that of a new index of
// several, sorted by platform. Two plugins for one platform are a [SourceError].
func (b *Builder) Join(ctx context.Context, plugins []*Plugin) (ocispec.Descriptor, error) {
	manifests := make([]ocispec.Descriptor, len(plugins))
	for i, p := range plugins {
		manifests[i] = p.Manifest
	}
	if len(manifests) == 1 {
		return manifests[0], nil
	}
	name := func(d ocispec.Descriptor) string { return platforms.Format(*d.Platform) }
	slices.SortFunc(manifests, func(a, b ocispec.Descriptor) int { return strings.Compare(name(a), name(b)) })
	for i := range manifests[1:] {
		if name(manifests[i]) == name(manifests[i+1]) {
			return ocispec.Descriptor{}, &SourceError{Source: name(manifests[i]), Err: errTwice}
		}
	}
	data, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: images.MediaTypeDockerSchema2ManifestList,
		Manifests: manifests,
	})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	dgst, err := b.store.Put(ctx, b.pin, data)
	return ocispec.Descriptor{MediaType: images.MediaTypeDockerSchema2ManifestList, Digest: dgst, Size: int64(len(data))}, err
}

// WriteLayout writes an OCI image layout of a plugin, or of an index, as an archive.
// The same plugin gives the same bytes.
func (b *Builder) WriteLayout(ctx context.Context, w io.Writer, top ocispec.Descriptor) error {
	contents, err := b.contents(ctx, top.Digest)
	if err != nil {
		return err
	}
	index, err := indexOf(top)
	if err != nil {
		return err
	}
	l := &layoutWriter{archive: tar.NewWriter(w)}
	l.file(ocispec.ImageLayoutFile, []byte(layoutVersion))
	l.file(ocispec.ImageIndexFile, index)
	l.directory(ocispec.ImageBlobsDir)
	l.directory(path.Join(ocispec.ImageBlobsDir, digest.Canonical.String()))
	for _, dgst := range contents {
		l.blob(ctx, b, dgst)
	}
	if l.err != nil {
		return l.err
	}
	return l.archive.Close()
}

// layoutVersion is the file oci-layout.
const layoutVersion = `{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`

// indexOf returns the index.json of a layout.
func indexOf(top ocispec.Descriptor) ([]byte, error) {
	return json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{top},
	})
}

// Layout makes the directory of the builder an OCI image layout of a plugin, or of an
// index, and returns its path.
func (b *Builder) Layout(top ocispec.Descriptor) (string, error) {
	index, err := indexOf(top)
	if err != nil {
		return "", err
	}
	directory := filepath.Join(b.directory, contentName)
	if err := os.WriteFile(filepath.Join(directory, ocispec.ImageIndexFile), index, 0o600); err != nil {
		return "", err
	}
	return directory, os.WriteFile(filepath.Join(directory, ocispec.ImageLayoutFile), []byte(layoutVersion), 0o600)
}

// Target is a repository of a registry.
type Target struct {
	Reference reference.Named
	// Auth is the account at the registry; nil means none.
	Auth      *registry.AuthConfig
	Endpoints remote.EndpointResolver
	Progress  progress.Output
}

// Push sends a plugin, or an index with its plugins, to a registry. The errors are those
// of [remote.Client.Push].
func (b *Builder) Push(ctx context.Context, to Target, top ocispec.Descriptor) error {
	source := distribution.Source{Blobs: b.store, Remote: remote.New(remote.Options{Blobs: b.store, Endpoints: to.Endpoints})}
	return source.Push(ctx, distribution.Transfer{Reference: to.Reference, Auth: to.Auth, Pin: b.pin, Progress: to.Progress}, top.Digest)
}

// contents returns the digests of a manifest or an index and of all that it refers to,
// each once, sorted.
func (b *Builder) contents(ctx context.Context, top digest.Digest) ([]digest.Digest, error) {
	all := []digest.Digest{top}
	manifest, err := b.store.Manifest(ctx, top)
	if err != nil {
		return nil, err
	}
	for _, one := range manifest.Manifests {
		below, err := b.contents(ctx, one.Digest)
		if err != nil {
			return nil, err
		}
		all = append(all, below...)
	}
	all = append(all, manifest.Digests()...)
	slices.Sort(all)
	return slices.Compact(all), nil
}

// layoutWriter writes an archive. After an error it does nothing.
type layoutWriter struct {
	archive *tar.Writer
	err     error
}

func (l *layoutWriter) header(name string, typeflag byte, mode, size int64) {
	if l.err == nil {
		l.err = l.archive.WriteHeader(&tar.Header{Name: name, Typeflag: typeflag, Mode: mode, Size: size, ModTime: time.Unix(0, 0), Format: tar.FormatPAX})
	}
}

func (l *layoutWriter) directory(name string) { l.header(name+"/", tar.TypeDir, 0o755, 0) }

func (l *layoutWriter) file(name string, data []byte) {
	l.header(name, tar.TypeReg, 0o644, int64(len(data)))
	if l.err == nil {
		_, l.err = l.archive.Write(data)
	}
}

func (l *layoutWriter) blob(ctx context.Context, b *Builder, dgst digest.Digest) {
	if l.err != nil {
		return
	}
	reader, err := b.store.Reader(ctx, dgst)
	if err != nil {
		l.err = err
		return
	}
	defer reader.Close()
	l.header(path.Join(ocispec.ImageBlobsDir, dgst.Algorithm().String(), dgst.Encoded()), tar.TypeReg, 0o644, reader.Size)
	if l.err == nil {
		_, l.err = io.Copy(l.archive, reader)
	}
}
