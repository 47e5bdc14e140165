// SPDX-License-Identifier: Apache-2.0

package build

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/imagefile"
	"github.com/dovetailhq/plugin/internal/imagefile/imagefiletest"
	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

func TestErrorsArePlain(t *testing.T) {
	plaintexttest.Check(t, &ConfigError{}, &SourceError{}, &GoError{})
}

const config = `{"description":"test","entrypoint":["/plugin"],"interface":{"types":["docker.volumedriver/1.0"],"socket":"p.sock"},"network":{"type":"none"}}`

var amd64 = ocispec.Platform{OS: "linux", Architecture: "amd64"}

// newBuilder returns a builder that leaves nothing behind.
func newBuilder(t testing.TB, options Options) *Builder {
	t.Helper()
	parent := t.TempDir()
	b, err := New(parent, options)
	assert.NilError(t, err)
	t.Cleanup(func() {
		assert.NilError(t, b.Close())
		left, err := os.ReadDir(parent)
		assert.NilError(t, err)
		assert.Equal(t, len(left), 0)
	})
	return b
}

// built is a plugin with its documents.
type built struct {
	*Plugin
	manifest ocispec.Manifest
	config   types.PluginConfig
}

func build(t testing.TB, options Options, source Source) built {
	t.Helper()
	b := newBuilder(t, options)
	p, err := b.Build(t.Context(), source)
	assert.NilError(t, err)
	result := built{Plugin: p}
	decode(t, b, p.Manifest.Digest, &result.manifest)
	decode(t, b, result.manifest.Config.Digest, &result.config)
	assert.Equal(t, result.manifest.Config.MediaType, "application/vnd.docker.plugin.v1+json")
	return result
}

func decode(t testing.TB, b *Builder, dgst digest.Digest, into any) {
	t.Helper()
	data, err := b.Store().ReadAll(t.Context(), dgst, 1<<20)
	assert.NilError(t, err)
	assert.NilError(t, json.Unmarshal(data, into))
}

// contextDirectory writes a directory as docker plugin create takes it.
func contextDirectory(t testing.TB) string {
	t.Helper()
	top := t.TempDir()
	assert.NilError(t, os.MkdirAll(filepath.Join(top, "rootfs"), 0o755))
	assert.NilError(t, os.WriteFile(filepath.Join(top, "config.json"), []byte(config), 0o600))
	assert.NilError(t, os.WriteFile(filepath.Join(top, "rootfs", "plugin"), []byte("#!/plugin\n"), 0o755))
	return top
}

// Two directories with the same files give one digest, as a context and as a rootfs
// with the config apart.
func TestDirectories(t *testing.T) {
	options := Options{Latest: time.Unix(1e9, 0)}
	one, other := contextDirectory(t), contextDirectory(t)
	first := build(t, options, Source{Path: one})
	assert.Equal(t, build(t, options, Source{Path: other}).Manifest.Digest, first.Manifest.Digest)
	options.Config = []byte(config)
	assert.Equal(t, build(t, options, Source{Path: filepath.Join(one, "rootfs")}).Manifest.Digest, first.Manifest.Digest)
	assert.Equal(t, len(first.manifest.Layers), 1)
	assert.Equal(t, first.config.Description, "test")
	assert.Equal(t, len(first.config.Rootfs.DiffIds), 1)
	assert.Equal(t, len(first.Warnings), 0, "%v", first.Warnings)
}

// image has a compressed and an uncompressed layer.
func image(t testing.TB) imagefiletest.Image {
	lower := imagefiletest.Tar(t, imagefiletest.Directory("etc", 0o755), imagefiletest.File("etc/passwd", "x:x:7:8::/:\n", 0o644), imagefiletest.File("etc/group", "g:x:9:\n", 0o644))
	upper := imagefiletest.Tar(t, imagefiletest.File("plugin", "#!/plugin\n", 0o755))
	return imagefiletest.Image{
		Platform: amd64,
		Layers:   [][]byte{imagefiletest.Gzip(t, lower), upper},
		Config: ocispec.ImageConfig{
			User: "x", Env: []string{"A=1", "B=2", "C"}, Entrypoint: []string{"/plugin"}, Cmd: []string{"serve"}, WorkingDir: "/etc",
			Labels: map[string]string{ConfigLabel: `{"interface":{"socket":"p.sock"},"env":[{"name":"B","value":"own"}],"network":{"type":"none"}}`, descriptionLabel: "d", documentationLabel: "https://example.com"},
		},
	}
}

// A layer that is compressed stays as it is, another one is compressed, and the config
// has what the image's config has and it leaves out.
func TestImages(t *testing.T) {
	img := image(t)
	want := build(t, Options{}, Source{Path: img.Docker(t).WriteArchive(t)})
	assert.Equal(t, want.manifest.Layers[0].Digest, digest.FromBytes(img.Layers[0]))
	assert.Check(t, want.manifest.Layers[1].Digest != digest.FromBytes(img.Layers[1]))
	for _, layer := range want.manifest.Layers {
		assert.Equal(t, layer.MediaType, "application/vnd.docker.image.rootfs.diff.tar.gzip")
	}
	assert.Equal(t, want.config.Rootfs.DiffIds[1], digest.FromBytes(img.Layers[1]).String())
	for name, files := range map[string]imagefiletest.Files{"docker 25": img.Docker25(t), "layout": imagefiletest.Layout(t, img)} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, build(t, Options{}, Source{Path: files.WriteArchive(t)}).Manifest.Digest, want.Manifest.Digest)
			assert.Equal(t, build(t, Options{}, Source{Path: files.WriteDirectory(t)}).Manifest.Digest, want.Manifest.Digest)
		})
	}
	c := want.config
	assert.DeepEqual(t, c.Entrypoint, []string{"/plugin", "serve"})
	assert.Equal(t, c.WorkDir, "/etc")
	assert.Equal(t, c.User, types.PluginConfigUser{UID: 7, GID: 8})
	assert.Equal(t, c.Description+c.Documentation, "dhttps://example.com")
	assert.Equal(t, len(c.Env), 2)
	assert.Equal(t, c.Env[0].Name+*c.Env[0].Value+c.Env[1].Name+*c.Env[1].Value, "BownA1")
	assert.DeepEqual(t, *want.Manifest.Platform, amd64)
}

func TestUsers(t *testing.T) {
	for text, want := range map[string]types.PluginConfigUser{
		"x": {UID: 7, GID: 8}, "x:g": {UID: 7, GID: 9}, "7": {UID: 7, GID: 8}, "5": {UID: 5}, "5:6": {UID: 5, GID: 6}, "5:g": {UID: 5, GID: 9}, "x:": {UID: 7},
	} {
		t.Run(text, func(t *testing.T) {
			img := image(t)
			img.Config.User = text
			assert.Equal(t, build(t, Options{}, Source{Path: img.Docker(t).WriteArchive(t)}).config.User, want)
		})
	}
	for _, text := range []string{"nobody", "x:nogroup", "-1", "5:99999999999"} {
		t.Run(text, func(t *testing.T) {
			img := image(t)
			img.Config.User = text
			_, err := newBuilder(t, Options{}).Build(t.Context(), Source{Path: img.Docker(t).WriteArchive(t)})
			assert.Check(t, errdefs.IsInvalidParameter(err), "%v", err)
			assert.ErrorContains(t, err, "set user in config.json")
		})
	}
	own := build(t, Options{Config: []byte(`{"user":{},"interface":{}}`)}, Source{Path: image(t).Docker(t).WriteArchive(t)})
	assert.Equal(t, own.config.User, types.PluginConfigUser{}, "the config's own user is kept, also if it is root")
}

// A plugin that was built is built again from its layout without a change.
func TestPluginsStay(t *testing.T) {
	b := newBuilder(t, Options{})
	p, err := b.Build(t.Context(), Source{Path: image(t).Docker(t).WriteArchive(t)})
	assert.NilError(t, err)
	path := writeLayout(t, b, p.Manifest)
	again := build(t, Options{}, Source{Path: path})
	assert.Equal(t, again.Manifest.Digest, p.Manifest.Digest)
	assert.DeepEqual(t, again.Manifest.Platform, p.Manifest.Platform)
	other := build(t, Options{Config: []byte(config)}, Source{Path: path})
	assert.DeepEqual(t, other.manifest.Layers, again.manifest.Layers)
	assert.Equal(t, other.config.Description, "test")
}

func writeLayout(t testing.TB, b *Builder, top ocispec.Descriptor) string {
	t.Helper()
	var layout bytes.Buffer
	assert.NilError(t, b.WriteLayout(t.Context(), &layout, top))
	path := filepath.Join(t.TempDir(), "plugin.tar")
	assert.NilError(t, os.WriteFile(path, layout.Bytes(), 0o600))
	return path
}

// Plugins for several platforms are an index, the same in any order.
func TestSeveralPlatforms(t *testing.T) {
	arm := image(t)
	arm.Platform = ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}
	path := imagefiletest.Layout(t, image(t), arm).WriteArchive(t)
	b := newBuilder(t, Options{})
	var plugins []*Plugin
	for _, text := range []string{"linux/amd64=" + path, "linux/arm/v7=" + path} {
		source, err := ParseSource(text)
		assert.NilError(t, err)
		assert.Equal(t, source.String(), text)
		p, err := b.Build(t.Context(), source)
		assert.NilError(t, err)
		plugins = append(plugins, p)
	}
	index, err := b.Join(t.Context(), plugins)
	assert.NilError(t, err)
	same, err := b.Join(t.Context(), []*Plugin{plugins[1], plugins[0]})
	assert.NilError(t, err)
	assert.Equal(t, index.Digest, same.Digest)
	layout := writeLayout(t, b, index)
	for i, platform := range []ocispec.Platform{amd64, arm.Platform} {
		again := build(t, Options{}, Source{Path: layout, Platform: &platform})
		assert.Equal(t, again.Manifest.Digest, plugins[i].Manifest.Digest)
	}
	_, err = b.Join(t.Context(), []*Plugin{plugins[0], plugins[0]})
	assert.ErrorContains(t, err, "two sources are for this platform")
}

func TestRefusedSources(t *testing.T) {
	valid := image(t)
	change := func(do func(*imagefiletest.Image)) string {
		img := valid
		do(&img)
		return img.Docker25(t).WriteArchive(t)
	}
	for name, tt := range map[string]struct{ path, want string }{
		"missing":      {filepath.Join(t.TempDir(), "gone"), "it does not exist"},
		"no config":    {t.TempDir(), "set --config"},
		"no label":     {change(func(i *imagefiletest.Image) { i.Config.Labels = nil }), "the label io.github.dovetailhq.plugin.config"},
		"bad label":    {change(func(i *imagefiletest.Image) { i.Config.Labels = map[string]string{ConfigLabel: "{"} }), "unexpected end"},
		"windows":      {change(func(i *imagefiletest.Image) { i.Platform.OS = "windows" }), "plugins run on linux"},
		"fewer layers": {change(func(i *imagefiletest.Image) { i.DiffIDs = []digest.Digest{digest.FromString("x")} }), "its config lists 1 layers, its manifest 2"},
		"other layers": {change(func(i *imagefiletest.Image) {
			i.DiffIDs = []digest.Digest{digest.FromString("x"), digest.FromString("x")}
		}), "the image's config lists sha256:2d711642b726"},
		"no layer": {change(func(i *imagefiletest.Image) {
			i.Layers = [][]byte{[]byte("not an archive at all, but long enough to be a header")}
		}), "archive is malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newBuilder(t, Options{}).Build(t.Context(), Source{Path: tt.path})
			assert.Check(t, errdefs.IsInvalidParameter(err), "%v", err)
			assert.ErrorContains(t, err, tt.want)
		})
	}
	_, err := newBuilder(t, Options{}).Build(t.Context(), Source{Path: change(func(*imagefiletest.Image) {}), Platform: &ocispec.Platform{OS: "linux", Architecture: "s390x"}})
	assert.ErrorContains(t, err, "it is for linux/amd64, not for linux/s390x")
}

func TestLimitOfConfigs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	assert.NilError(t, os.WriteFile(path, []byte(config), 0o600))
	options := Options{}
	options.Limits.Archives.ConfigBytes = 10
	_, err := options.ReadConfig(path)
	assert.ErrorContains(t, err, "more than 10 bytes")
	_, err = Options{Limits: imagefile.Limits{}}.ReadConfig(path)
	assert.NilError(t, err)
}

func TestParseSource(t *testing.T) {
	for text, want := range map[string]Source{
		"dir": {Path: "dir"}, "a=b": {Path: "a=b"}, "go:./cmd": {Package: "./cmd"}, "linux/arm64=go:x": {Package: "x", Platform: &ocispec.Platform{OS: "linux", Architecture: "arm64"}},
	} {
		got, err := ParseSource(text)
		assert.NilError(t, err)
		assert.DeepEqual(t, got, want)
	}
	for _, text := range []string{"", "go:", "linux/amd64="} {
		_, err := ParseSource(text)
		assert.Check(t, errdefs.IsInvalidParameter(err), text)
	}
}

// An archive of a layout has the same bytes each time, and nothing but its content.
func TestLayoutIsReproducible(t *testing.T) {
	b := newBuilder(t, Options{})
	p, err := b.Build(t.Context(), Source{Path: image(t).Docker(t).WriteArchive(t)})
	assert.NilError(t, err)
	var one, other bytes.Buffer
	assert.NilError(t, b.WriteLayout(t.Context(), &one, p.Manifest))
	assert.NilError(t, b.WriteLayout(t.Context(), &other, p.Manifest))
	assert.Check(t, bytes.Equal(one.Bytes(), other.Bytes()))
	var count int
	for r := tar.NewReader(&one); ; count++ {
		if _, err := r.Next(); err == io.EOF {
			break
		}
	}
	assert.Equal(t, count, len([]string{"oci-layout", "index.json", "blobs", "sha256", "manifest", "config", "layer", "layer"}))
}
