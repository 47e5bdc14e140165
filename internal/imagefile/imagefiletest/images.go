// SPDX-License-Identifier: Apache-2.0

// Package imagefiletest makes images in files for tests, in the forms that docker
// save and buildx write.
package imagefiletest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"
)

// Image is an image to write. Layers are as they are stored, lowest first.
type Image struct {
	Platform ocispec.Platform
	Config   ocispec.ImageConfig
	Layers   [][]byte
	// DiffIDs replace the right ones, if they are set.
	DiffIDs []digest.Digest
}

// Files are the files of an image by their names.
type Files map[string][]byte

// Tar returns an archive of headers and, for regular files, their content.
func Tar(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, e := range entries {
		header := e.Header
		header.Size, header.Format = int64(len(e.Content)), tar.FormatPAX
		assert.NilError(t, w.WriteHeader(&header))
		_, err := w.Write([]byte(e.Content))
		assert.NilError(t, err)
	}
	assert.NilError(t, w.Close())
	return packed.Bytes()
}

// Entry is a header with its content.
type Entry struct {
	tar.Header
	Content string
}

// File returns a regular file.
func File(name, content string, mode int64) Entry {
	return Entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode}, content}
}

// Directory returns a directory.
func Directory(name string, mode int64) Entry {
	return Entry{tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: mode}, ""}
}

// Symlink returns a symbolic link.
func Symlink(name, target string) Entry {
	return Entry{tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink, Mode: 0o777}, ""}
}

// Gzip compresses bytes.
func Gzip(t testing.TB, plain []byte) []byte {
	t.Helper()
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	_, err := w.Write(plain)
	assert.NilError(t, err)
	assert.NilError(t, w.Close())
	return compressed.Bytes()
}

func gunzip(stored []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(stored))
	if err != nil {
		return stored
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return stored
	}
	return plain
}

// config returns the config of the image.
func (i Image) config(t testing.TB) []byte {
	t.Helper()
	ids := i.DiffIDs
	if ids == nil {
		ids = []digest.Digest{}
		for _, layer := range i.Layers {
			ids = append(ids, digest.FromBytes(gunzip(layer)))
		}
	}
	return encode(t, ocispec.Image{Platform: i.Platform, Config: i.Config, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: ids}})
}

// Docker returns the files of docker save before docker 25.
func (i Image) Docker(t testing.TB) Files {
	t.Helper()
	config := i.config(t)
	files := Files{"repositories": []byte(`{}`)}
	manifest := []map[string]any{{"Config": digest.FromBytes(config).Encoded() + ".json", "RepoTags": []string{"example:latest"}}}
	files[digest.FromBytes(config).Encoded()+".json"] = config
	var layers []string
	for n, layer := range i.Layers {
		id := digest.FromString(string(rune('a' + n))).Encoded()
		files[id+"/VERSION"], files[id+"/json"], files[id+"/layer.tar"] = []byte("1.0"), []byte("{}"), layer
		layers = append(layers, id+"/layer.tar")
	}
	manifest[0]["Layers"] = layers
	files["manifest.json"] = encode(t, manifest)
	return files
}

// Docker25 returns the files of docker save since docker 25: an OCI layout with
// manifest.json.
func (i Image) Docker25(t testing.TB) Files {
	t.Helper()
	files := Layout(t, i)
	config := i.config(t)
	var layers []string
	for _, layer := range i.Layers {
		layers = append(layers, blob(layer))
	}
	files["manifest.json"] = encode(t, []map[string]any{{"Config": blob(config), "RepoTags": []string{"example:latest"}, "Layers": layers}})
	files["repositories"] = []byte(`{}`)
	return files
}

// Layout returns the files of an OCI image layout: of one image, or of an index of
// several, as buildx writes it.
func Layout(t testing.TB, images ...Image) Files {
	t.Helper()
	files := Files{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	var manifests []ocispec.Descriptor
	for _, image := range images {
		manifest := image.addTo(t, files)
		if len(images) > 1 {
			manifest.Platform = &image.Platform
		}
		manifests = append(manifests, manifest)
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests}
	if len(images) > 1 {
		index.Manifests = []ocispec.Descriptor{files.put(ocispec.MediaTypeImageIndex, encode(t, index))}
	}
	files["index.json"] = encode(t, index)
	return files
}

func (i Image) addTo(t testing.TB, files Files) ocispec.Descriptor {
	t.Helper()
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    files.put(ocispec.MediaTypeImageConfig, i.config(t)),
	}
	for _, layer := range i.Layers {
		mediaType := ocispec.MediaTypeImageLayer
		if bytes.HasPrefix(layer, []byte{0x1f, 0x8b}) {
			mediaType = ocispec.MediaTypeImageLayerGzip
		}
		manifest.Layers = append(manifest.Layers, files.put(mediaType, layer))
	}
	return files.put(ocispec.MediaTypeImageManifest, encode(t, manifest))
}

// put adds a blob.
func (f Files) put(mediaType string, data []byte) ocispec.Descriptor {
	f[blob(data)] = data
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

func blob(data []byte) string { return "blobs/sha256/" + digest.FromBytes(data).Encoded() }

// Archive returns an archive of the files.
func (f Files) Archive(t testing.TB) []byte {
	t.Helper()
	var entries []Entry
	for _, name := range slices.Sorted(maps.Keys(f)) {
		entries = append(entries, File(name, string(f[name]), 0o644))
	}
	return Tar(t, entries...)
}

// WriteArchive writes an archive of the files to a new file, and returns its path.
func (f Files) WriteArchive(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	assert.NilError(t, os.WriteFile(path, f.Archive(t), 0o600))
	return path
}

// WriteDirectory writes the files to a new directory, and returns its path.
func (f Files) WriteDirectory(t testing.TB) string {
	t.Helper()
	top := t.TempDir()
	for name, data := range f {
		path := filepath.Join(top, name)
		assert.NilError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		assert.NilError(t, os.WriteFile(path, data, 0o600))
	}
	return top
}

func encode(t testing.TB, document any) []byte {
	t.Helper()
	data, err := json.Marshal(document)
	assert.NilError(t, err)
	return data
}
