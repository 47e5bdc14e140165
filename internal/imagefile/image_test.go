// SPDX-License-Identifier: Apache-2.0

package imagefile

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/docker/docker/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/imagefile/imagefiletest"
	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
	"github.com/dovetailhq/plugin/internal/rootfs"
)

func TestErrorsArePlain(t *testing.T) { plaintexttest.Check(t, &InvalidError{}) }

var amd64 = ocispec.Platform{OS: "linux", Architecture: "amd64"}

// sample is an image with a compressed and an uncompressed layer.
func sample(t testing.TB, platform ocispec.Platform) imagefiletest.Image {
	lower := imagefiletest.Tar(t, imagefiletest.File("a", "lower", 0o644))
	upper := imagefiletest.Tar(t, imagefiletest.File("b", platform.Architecture, 0o644))
	return imagefiletest.Image{Platform: platform, Layers: [][]byte{imagefiletest.Gzip(t, lower), upper}}
}

// read reads the image at path with its layers.
func read(t testing.TB, path string, want *ocispec.Platform) (*Image, [][]byte, error) {
	t.Helper()
	file, err := Open(t.Context(), path, t.TempDir(), Limits{})
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	image, err := file.Image(want)
	if err != nil {
		return nil, nil, err
	}
	var layers [][]byte
	for _, layer := range image.Layers {
		content, err := layer.Open()
		if err != nil {
			return nil, nil, err
		}
		data, err := io.ReadAll(content)
		if err := errors.Join(err, content.Close()); err != nil {
			return nil, nil, err
		}
		layers = append(layers, data)
	}
	return image, layers, nil
}

// Each form of an image gives its config and its layers, byte for byte.
func TestForms(t *testing.T) {
	image := sample(t, amd64)
	forms := map[string]imagefiletest.Files{"docker": image.Docker(t), "docker 25": image.Docker25(t), "layout": imagefiletest.Layout(t, image)}
	for name, files := range forms {
		archive := files.WriteArchive(t)
		compressed := filepath.Join(t.TempDir(), "image.tar.gz")
		assert.NilError(t, os.WriteFile(compressed, imagefiletest.Gzip(t, files.Archive(t)), 0o600))
		for form, path := range map[string]string{"directory": files.WriteDirectory(t), "archive": archive, "compressed": compressed} {
			t.Run(name+" "+form, func(t *testing.T) {
				read, layers, err := read(t, path, nil)
				assert.NilError(t, err)
				assert.DeepEqual(t, layers, image.Layers)
				assert.Check(t, bytes.Contains(read.Config, []byte(`"amd64"`)))
				assert.Equal(t, read.Manifest == nil, name == "docker")
			})
		}
	}
}

// An archive that comes from a pipe is read as well, and leaves no file.
func TestPipe(t *testing.T) {
	scratch, pipe := t.TempDir(), filepath.Join(t.TempDir(), "pipe")
	assert.NilError(t, syscall.Mkfifo(pipe, 0o600))
	archive := sample(t, amd64).Docker(t).Archive(t)
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(pipe, archive, 0o600) }()
	file, err := Open(t.Context(), pipe, scratch, Limits{})
	assert.NilError(t, err)
	assert.NilError(t, <-written)
	_, err = file.Image(nil)
	assert.NilError(t, err)
	left, err := os.ReadDir(scratch)
	assert.NilError(t, err)
	assert.Equal(t, len(left), 0)
	assert.NilError(t, file.Close())
}

func TestPlatforms(t *testing.T) {
	arm64 := ocispec.Platform{OS: "linux", Architecture: "arm64"}
	path := imagefiletest.Layout(t, sample(t, amd64), sample(t, arm64)).WriteArchive(t)
	for _, want := range []ocispec.Platform{amd64, arm64} {
		image, _, err := read(t, path, &want)
		assert.NilError(t, err)
		assert.Equal(t, image.Platform.Architecture, want.Architecture)
		assert.Check(t, bytes.Contains(image.Config, []byte(`"architecture":"`+want.Architecture)))
	}
	_, _, err := read(t, path, &ocispec.Platform{OS: "linux", Architecture: "s390x"})
	assert.Check(t, errdefs.IsNotFound(err), "%v", err)
	assert.ErrorContains(t, err, "there are linux/amd64, linux/arm64")
}

// A layer that occurs twice is a link in archives of docker before 25.
func TestLinkedLayer(t *testing.T) {
	image := sample(t, amd64)
	image.Layers = [][]byte{image.Layers[1], image.Layers[1]}
	files := image.Docker(t)
	first, second := digest.FromString("a").Encoded(), digest.FromString("b").Encoded()
	delete(files, second+"/layer.tar")
	packed := files.Archive(t)
	packed = append(packed[:len(packed)-1024], imagefiletest.Tar(t, imagefiletest.Symlink(second+"/layer.tar", "../"+first+"/layer.tar"))...)
	path := filepath.Join(t.TempDir(), "image.tar")
	assert.NilError(t, os.WriteFile(path, packed, 0o600))
	_, layers, err := read(t, path, nil)
	assert.NilError(t, err)
	assert.DeepEqual(t, layers, image.Layers)
}

// hostile are changes of files, with a part of the error.
var hostile = []struct {
	name   string
	change func(t testing.TB, image imagefiletest.Image) imagefiletest.Files
	want   string
}{
	{"nothing", func(testing.TB, imagefiletest.Image) imagefiletest.Files {
		return imagefiletest.Files{"a": nil}
	}, "it has neither oci-layout nor manifest.json"},
	{"no config", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		return with(image.Docker(t), "manifest.json", `[{"Config":"gone.json"}]`)
	}, "it has no gone.json"},
	{"config outside", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		return with(image.Docker(t), "manifest.json", `[{"Config":"../../etc/passwd"}]`)
	}, "it has no ../../etc/passwd"},
	{"absolute config", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		return with(image.Docker(t), "manifest.json", `[{"Config":"/etc/passwd"}]`)
	}, "it has no /etc/passwd"},
	{"two images", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		return with(image.Docker(t), "manifest.json", `[{"RepoTags":["a:1","b:2"]},{}]`)
	}, "it has 2 images (a:1, b:2): save one image alone"},
	{"no image", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		return with(image.Docker(t), "manifest.json", `[]`)
	}, "it has 0 images"},
	{"no JSON", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		return with(image.Docker(t), "manifest.json", `[`)
	}, "manifest.json: unexpected end"},
	{"missing layer", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		files := image.Docker(t)
		delete(files, digest.FromString("a").Encoded()+"/layer.tar")
		return files
	}, "layer.tar"},
	{"changed config", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		files := image.Docker(t)
		for name := range files {
			if strings.HasSuffix(name, ".json") && name != "manifest.json" {
				files[name] = append(files[name], ' ')
			}
		}
		return files
	}, "does not match its digest"},
	{"large manifest", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		return with(image.Docker(t), "manifest.json", strings.Repeat(" ", defaultManifestBytes+1))
	}, "the limit is 4194304"},
	{"unknown layout", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		return with(image.Docker25(t), "oci-layout", `{"imageLayoutVersion":"2"}`)
	}, `its layout has version "2"`},
	{"empty index", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		return with(image.Docker25(t), "index.json", `{"schemaVersion":2,"manifests":[]}`)
	}, "its index is empty"},
	{"no index", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		files := image.Docker25(t)
		delete(files, "index.json")
		return files
	}, "it has no index.json"},
	{"several without platforms", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		one, other := digest.FromString("1"), digest.FromString("2")
		return with(image.Docker25(t), "index.json", fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"digest":%q},{"digest":%q}]}`, one, other))
	}, "it has 2 images: save one image alone"},
	{"nested indexes", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		files := image.Docker25(t)
		data := []byte(`{"schemaVersion":2,"manifests":[]}`)
		for range maxIndexes + 1 {
			dgst := digest.FromBytes(data)
			files["blobs/sha256/"+dgst.Encoded()] = data
			data = fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[{"digest":%q,"size":%d,"mediaType":%q}]}`, dgst, len(data), ocispec.MediaTypeImageIndex)
		}
		files["index.json"] = data
		return files
	}, "more than 4 indexes are nested"},
	{"digest with a path", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		return with(image.Docker25(t), "index.json", `{"schemaVersion":2,"manifests":[{"digest":"sha256:../../../etc/passwd"}]}`)
	}, "invalid checksum digest"},
	{"blobs changed", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		files := image.Docker25(t)
		for name, data := range files {
			if strings.HasPrefix(name, "blobs/") {
				files[name] = append(bytes.Repeat([]byte{' '}, 1), data[1:]...)
			}
		}
		return files
	}, "does not match its digest"},
	{"layer changed", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		files := image.Docker25(t)
		name := "blobs/sha256/" + digest.FromBytes(image.Layers[1]).Encoded()
		files[name] = bytes.Repeat([]byte{1}, len(files[name]))
		return files
	}, "does not match its digest"},
	{"layer cut", func(t testing.TB, image imagefiletest.Image) imagefiletest.Files {
		files := image.Docker25(t)
		name := "blobs/sha256/" + digest.FromBytes(image.Layers[1]).Encoded()
		files[name] = files[name][1:]
		return files
	}, "its descriptor"},
}

func with(files imagefiletest.Files, name, content string) imagefiletest.Files {
	files[name] = []byte(content)
	return files
}

func TestHostileImages(t *testing.T) {
	for _, tt := range hostile {
		for _, form := range []string{"archive", "directory"} {
			t.Run(tt.name+" "+form, func(t *testing.T) {
				files := tt.change(t, sample(t, amd64))
				path := ""
				if form == "archive" {
					path = files.WriteArchive(t)
				} else {
					path = files.WriteDirectory(t)
				}
				_, _, err := read(t, path, nil)
				assert.Check(t, errdefs.IsInvalidParameter(err), "%v", err)
				assert.ErrorContains(t, err, tt.want)
			})
		}
	}
}

// Neither links nor fifos lead a reader out of a directory, or make it wait.
func TestHostileDirectory(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	assert.NilError(t, os.WriteFile(secret, []byte("[]"), 0o600))
	for name, replace := range map[string]func(path string) error{
		"link out":  func(path string) error { return os.Symlink(secret, path) },
		"fifo":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			top := sample(t, amd64).Docker(t).WriteDirectory(t)
			path := filepath.Join(top, "manifest.json")
			assert.NilError(t, os.Remove(path))
			assert.NilError(t, replace(path))
			_, _, err := read(t, top, nil)
			assert.Check(t, err != nil)
		})
	}
}

func TestHostileArchives(t *testing.T) {
	manifest := imagefiletest.File("manifest.json", `[{"Config":"a"}]`, 0o644)
	many := make([]imagefiletest.Entry, maxImageEntries+1)
	for i := range many {
		many[i] = imagefiletest.Directory("d", 0o755)
	}
	long := imagefiletest.File(strings.Repeat("n", 1<<19), "", 0o644)
	for name, tt := range map[string]struct {
		archive []byte
		want    string
	}{
		"not an archive":  {bytes.Repeat([]byte("x"), 2048), "archive is malformed"},
		"truncated":       {sample(t, amd64).Docker(t).Archive(t)[:3000], "archive is malformed"},
		"many entries":    {imagefiletest.Tar(t, many...), "limit Entries of 16384"},
		"long names":      {imagefiletest.Tar(t, repeat(long, 40)...), "limit HeaderBytes"},
		"links in circle": {imagefiletest.Tar(t, imagefiletest.Symlink("manifest.json", "b"), imagefiletest.Symlink("b", "manifest.json")), "link to a link"},
		"hard link":       {imagefiletest.Tar(t, manifest, imagefiletest.Entry{Header: tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}}), "it has no a"},
		"truncated gzip":  {imagefiletest.Gzip(t, sample(t, amd64).Docker(t).Archive(t))[:100], "archive is malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			scratch, path := t.TempDir(), filepath.Join(t.TempDir(), "image.tar")
			assert.NilError(t, os.WriteFile(path, tt.archive, 0o600))
			file, err := Open(t.Context(), path, scratch, Limits{})
			if err == nil {
				_, err = file.Image(nil)
				assert.NilError(t, file.Close())
			}
			assert.Check(t, errdefs.IsInvalidParameter(err), "%v", err)
			assert.ErrorContains(t, err, tt.want)
			left, err := os.ReadDir(scratch)
			assert.NilError(t, err)
			assert.Equal(t, len(left), 0)
		})
	}
}

func repeat(e imagefiletest.Entry, times int) []imagefiletest.Entry {
	all := make([]imagefiletest.Entry, times)
	for i := range all {
		all[i] = e
		all[i].Name = fmt.Sprint(i) + e.Name
	}
	return all
}

// A compressed archive can't fill the disk.
func TestSpoolIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.tar.gz")
	assert.NilError(t, os.WriteFile(path, imagefiletest.Gzip(t, make([]byte, 1<<20)), 0o600))
	_, err := Open(t.Context(), path, t.TempDir(), Limits{Archives: rootfs.Limits{UnpackedBytes: 1 << 19}})
	assert.ErrorContains(t, err, "limit UnpackedBytes of 524288")
}

func FuzzArchive(f *testing.F) {
	f.Add(sample(f, amd64).Docker(f).Archive(f))
	f.Add(sample(f, amd64).Docker25(f).Archive(f))
	f.Add(imagefiletest.Gzip(f, imagefiletest.Layout(f, sample(f, amd64), sample(f, ocispec.Platform{OS: "linux", Architecture: "arm64"})).Archive(f)))
	f.Fuzz(func(t *testing.T, archive []byte) {
		path := filepath.Join(t.TempDir(), "image.tar")
		assert.NilError(t, os.WriteFile(path, archive, 0o600))
		limits := Limits{Archives: rootfs.Limits{UnpackedBytes: 1 << 20, FileBytes: 1 << 19}}
		file, err := Open(t.Context(), path, t.TempDir(), limits)
		if err != nil {
			checkTyped(t, err)
			return
		}
		defer file.Close()
		image, err := file.Image(nil)
		if err != nil {
			checkTyped(t, err)
			return
		}
		for _, layer := range image.Layers {
			content, err := layer.Open()
			if err == nil {
				_, err = io.Copy(io.Discard, content)
				assert.NilError(t, content.Close())
			}
			if err != nil {
				checkTyped(t, err)
			}
		}
	})
}

// FuzzDocuments changes the documents of an image, which a fuzzer of archives seldom
// reaches.
func FuzzDocuments(f *testing.F) {
	docker, layout := sample(f, amd64).Docker(f), imagefiletest.Layout(f, sample(f, amd64))
	f.Add(docker["manifest.json"], []byte(nil), []byte(nil))
	f.Add([]byte(nil), layout["oci-layout"], layout["index.json"])
	f.Fuzz(func(t *testing.T, manifest, version, index []byte) {
		files := imagefiletest.Layout(t, sample(t, amd64))
		for name, data := range sample(t, amd64).Docker(t) {
			files[name] = data
		}
		delete(files, "oci-layout")
		files["manifest.json"], files["index.json"] = manifest, index
		if len(version) > 0 {
			files["oci-layout"] = version
		}
		if _, _, err := read(t, files.WriteArchive(t), nil); err != nil {
			checkTyped(t, err)
		}
	})
}

func checkTyped(t *testing.T, err error) {
	t.Helper()
	assert.Check(t, errdefs.IsInvalidParameter(err) || errdefs.IsNotFound(err), "%v", err)
}
