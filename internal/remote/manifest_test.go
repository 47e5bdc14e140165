// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

func (b *bench) descriptor(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: b.PutBlob(repository, data), Size: int64(len(data))}
}

// manifest is an OCI manifest of the bench's plugin, for tests to change.
func (b *bench) manifest() ocispec.Manifest {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    b.descriptor(MediaTypeConfig, []byte(config)),
	}
	for _, layer := range b.packed {
		m.Layers = append(m.Layers, b.descriptor(ocispec.MediaTypeImageLayerGzip, layer))
	}
	return m
}

func TestManifestsThatArePulled(t *testing.T) {
	tests := map[string]func(m *ocispec.Manifest) (served string){
		"oci":                   func(m *ocispec.Manifest) string { return m.MediaType },
		"oci without a type":    func(m *ocispec.Manifest) string { m.MediaType = ""; return ocispec.MediaTypeImageManifest },
		"no schema version":     func(m *ocispec.Manifest) string { m.SchemaVersion = 0; return m.MediaType },
		"type in document only": func(m *ocispec.Manifest) string { return "application/json" },
		"docker's type for oci": func(m *ocispec.Manifest) string { return fake.MediaTypeManifest },
		"oci's type for docker": func(m *ocispec.Manifest) string {
			m.MediaType = fake.MediaTypeManifest
			return ocispec.MediaTypeImageManifest
		},
		"no type": func(m *ocispec.Manifest) string {
			m.MediaType = ""
			return "application/octet-stream"
		},
		"artifact type": func(m *ocispec.Manifest) string {
			m.ArtifactType, m.Config.MediaType = MediaTypeConfig, ocispec.MediaTypeImageConfig
			return m.MediaType
		},
		"docker layers": func(m *ocispec.Manifest) string {
			m.Layers[0].MediaType = "application/vnd.docker.image.rootfs.diff.tar"
			m.Layers[1].MediaType = "application/vnd.docker.image.rootfs.diff.tar.zstd"
			return m.MediaType
		},
		"oci layers": func(m *ocispec.Manifest) string {
			m.Layers[0].MediaType = ocispec.MediaTypeImageLayer
			m.Layers[1].MediaType = ocispec.MediaTypeImageLayerZstd
			return m.MediaType
		},
		"addresses elsewhere": func(m *ocispec.Manifest) string {
			m.Layers[0].URLs = []string{"http://127.0.0.1:1/evil"}
			return m.MediaType
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			m := b.manifest()
			served := change(&m)
			target := b.PutDocument(repository, "latest", served, m)
			b.mustPull(t)
			p, err := New(b.options).Resolve(t.Context(), b.request(t))
			assert.NilError(t, err)
			defer p.Close()
			assert.Equal(t, p.Manifest.Digest, target.Digest)
			for i := range m.Layers {
				assert.Equal(t, p.Layers[i].MediaType, m.Layers[i].MediaType)
			}
		})
	}
}

func TestManifestsThatAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(m *ocispec.Manifest)
		want   string
	}{
		{"image", func(m *ocispec.Manifest) { m.Config.MediaType = "application/vnd.docker.container.image.v1+json" }, `config of type "application/vnd.docker.container.image.v1+json" is not supported: it is an image, not a plugin`},
		{"other config", func(m *ocispec.Manifest) { m.Config.MediaType = "application/vnd.other" }, `config of type "application/vnd.other" is not supported`},
		{"other layer", func(m *ocispec.Manifest) { m.Layers[1].MediaType = "application/vnd.other" }, `layer of type "application/vnd.other" is not supported`},
		{"foreign layer", func(m *ocispec.Manifest) {
			m.Layers[0].MediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
		}, "foreign.diff.tar.gzip"},
		{"encrypted layer", func(m *ocispec.Manifest) { m.Layers[0].MediaType += "+encrypted" }, "+encrypted"},
		{"no digest", func(m *ocispec.Manifest) { m.Layers[0].Digest = "" }, "layer of type"},
		{"evil digest", func(m *ocispec.Manifest) { m.Config.Digest = "sha256:../../../etc/passwd" }, "config of type"},
		{"other digest", func(m *ocispec.Manifest) { m.Layers[0].Digest = digest.SHA512.FromString("x") }, "its digest is sha512"},
		{"negative size", func(m *ocispec.Manifest) { m.Layers[0].Size = -1 }, "its size is -1"},
		{"two sizes", func(m *ocispec.Manifest) {
			m.Layers = append(m.Layers, m.Layers[0])
			m.Layers[0].Size++
		}, "is described with"},
		{"two sizes, of a config", func(m *ocispec.Manifest) {
			m.Layers[0].Digest = m.Config.Digest
		}, "is described with"},
		{"schema version", func(m *ocispec.Manifest) { m.SchemaVersion = 1 }, "schema version 1"},
		{"calls itself an index", func(m *ocispec.Manifest) { m.MediaType = fake.MediaTypeIndex }, `it calls itself "` + fake.MediaTypeIndex},
		{"calls itself another", func(m *ocispec.Manifest) { m.MediaType = "application/vnd.other" }, `it calls itself "application/vnd.other`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			m := b.manifest()
			test.change(&m)
			b.PutDocument(repository, "latest", ocispec.MediaTypeImageManifest, m)
			b.Requests()
			_, err := b.pull(t.Context(), b.request(t))
			assert.Check(t, is.ErrorContains(err, test.want))
			assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
			assert.Equal(t, len(b.asked("/blobs/")), 0)
		})
	}
}

func TestDocumentsThatAreRefused(t *testing.T) {
	tests := []struct{ name, mediaType, data, want string }{
		{"no JSON", ocispec.MediaTypeImageManifest, "no", "invalid character"},
		{"empty", ocispec.MediaTypeImageManifest, "{}", "it has no config"},
		{"no config", ocispec.MediaTypeImageManifest, `{"schemaVersion":2,"layers":[]}`, "it has no config"},
		{"both", ocispec.MediaTypeImageManifest, `{"schemaVersion":2,"config":{},"manifests":[]}`, "it is an index and a manifest"},
		{"schema 1", "application/vnd.docker.distribution.manifest.v1+prettyjws", `{"schemaVersion":1}`, "manifest.v1+prettyjws"},
		{"schema 1 as text", "text/plain", `{"schemaVersion":1}`, "schema version 1"},
		{"something else", "application/vnd.other", `{"schemaVersion":2,"mediaType":"application/vnd.other"}`, `manifest of type "application/vnd.other"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.PutManifest(repository, "latest", test.mediaType, []byte(test.data))
			_, err := b.pull(t.Context(), b.request(t))
			assert.Check(t, is.ErrorContains(err, test.want))
			assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
		})
	}
}

func (b *bench) variant(t *testing.T, name string, platform *ocispec.Platform) ocispec.Descriptor {
	t.Helper()
	d := b.PutPlugin(repository, "", []byte(`{"description":"`+name+`"}`), pack(t, name))
	d.Platform = platform
	return d
}

func TestIndex(t *testing.T) {
	amd64 := &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	armv6 := &ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v6"}
	armv7 := &ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}
	windows := &ocispec.Platform{OS: "windows", Architecture: "amd64"}
	unknown := &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	tests := []struct {
		name      string
		platform  ocispec.Platform
		available []*ocispec.Platform
		want      int
	}{
		{"the same", *amd64, []*ocispec.Platform{windows, armv7, amd64}, 2},
		{"best variant", *armv7, []*ocispec.Platform{armv6, amd64, armv7}, 2},
		{"variant that runs", *armv7, []*ocispec.Platform{amd64, armv6}, 1},
		{"variant that does not", *armv6, []*ocispec.Platform{amd64, armv7}, -1},
		{"attestations", *amd64, []*ocispec.Platform{unknown, amd64}, 1},
		{"none", *amd64, nil, -1},
		{"others", *amd64, []*ocispec.Platform{armv7, windows}, -1},
		{"only one, that does not say", *amd64, []*ocispec.Platform{unknown, nil}, 1},
		{"several that do not say", *amd64, []*ocispec.Platform{nil, nil}, -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.options.Platform = test.platform
			variants := []ocispec.Descriptor{}
			for i, platform := range test.available {
				variants = append(variants, b.variant(t, string(rune('a'+i)), platform))
			}
			index := b.PutIndex(repository, "latest", variants...)
			b.Requests()
			p, err := New(b.options).Resolve(t.Context(), b.request(t))
			if test.want < 0 {
				var missing *PlatformError
				assert.Assert(t, errors.As(err, &missing), "%v", err)
				assert.Check(t, errdefs.IsNotFound(err), "%v", err)
				for _, available := range test.available {
					if available != nil {
						assert.Check(t, is.ErrorContains(err, available.OS+"/"+available.Architecture))
					}
				}
				assert.Equal(t, len(b.asked("/blobs/")), 0)
				return
			}
			assert.NilError(t, err)
			defer p.Close()
			assert.Equal(t, p.Digest, index.Digest)
			assert.Equal(t, p.Manifest.Digest, variants[test.want].Digest)
			for i, variant := range variants {
				assert.Equal(t, b.has(variant.Digest), i == test.want)
			}
		})
	}
}

func TestIndexAttestationByAnnotation(t *testing.T) {
	b := newBench(t)
	attestation := b.variant(t, "attestation", &b.optionsWithDefaults().Platform)
	attestation.Annotations = map[string]string{attestationKey: attestationValue}
	real := b.variant(t, "real", &b.optionsWithDefaults().Platform)
	b.PutIndex(repository, "latest", attestation, real)
	p, err := New(b.options).Resolve(t.Context(), b.request(t))
	assert.NilError(t, err)
	defer p.Close()
	assert.Equal(t, p.Manifest.Digest, real.Digest)
}

func (b *bench) optionsWithDefaults() *Options {
	o := b.options.withDefaults()
	return &o
}

func TestNestedIndex(t *testing.T) {
	b := newBench(t)
	target := b.PutIndex(repository, "", b.target)
	p, err := New(b.options).Resolve(t.Context(), withTag(t, b, b.PutIndex(repository, "nested", target)))
	assert.NilError(t, err)
	p.Close()
	assert.Equal(t, p.Manifest.Digest, b.target.Digest)
	for range maxIndexDepth {
		target = b.PutIndex(repository, "deep", target)
	}
	request := b.request(t)
	request.Reference = named(t, b.host+"/"+repository+":deep")
	_, err = New(b.options).Resolve(t.Context(), request)
	assert.Check(t, is.ErrorContains(err, "nested too deeply"))
	assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
}

func withTag(t *testing.T, b *bench, _ ocispec.Descriptor) Request {
	t.Helper()
	request := b.request(t)
	request.Reference = named(t, b.host+"/"+repository+":nested")
	return request
}

func TestByDigest(t *testing.T) {
	b := newBench(t)
	b.PutPlugin(repository, "moved", []byte(`{"description":"another"}`))
	index := b.PutIndex(repository, "", b.target)
	for _, suffix := range []string{"@" + b.target.Digest.String(), ":moved@" + b.target.Digest.String(), "@" + index.Digest.String()} {
		request := b.request(t)
		request.Reference = named(t, b.host+"/"+repository+suffix)
		p, err := New(b.options).Resolve(t.Context(), request)
		assert.NilError(t, err)
		p.Close()
		assert.Equal(t, p.Manifest.Digest, b.target.Digest)
		assert.Check(t, strings.HasSuffix(suffix, p.Digest.String()))
	}
	request := b.request(t)
	request.Reference = named(t, b.host+"/"+repository+"@"+digest.FromString("no such").String())
	_, err := New(b.options).Resolve(t.Context(), request)
	assert.Check(t, errdefs.IsNotFound(err), "%v", err)
}

// FuzzParse: any document is one of a plugin, an index, or refused with a typed
// error.
func FuzzParse(f *testing.F) {
	valid, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, Config: ocispec.Descriptor{MediaType: MediaTypeConfig, Digest: digest.FromString("")}})
	assert.NilError(f, err)
	f.Add(valid, ocispec.MediaTypeImageManifest)
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"platform":{"os":"linux"}}]}`), "")
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"text/plain"}`), "text/plain")
	f.Fuzz(func(t *testing.T, data []byte, mediaType string) {
		d, err := Parse(data, mediaType)
		if err == nil && d.IsIndex() {
			_, err = Choose(d.Manifests, ocispec.Platform{OS: "linux", Architecture: "amd64"})
			assert.Check(t, err == nil || errdefs.IsNotFound(err), "%v", err)
			return
		}
		if err == nil {
			err = d.CheckPlugin()
		}
		assert.Check(t, err == nil || errdefs.IsInvalidArgument(err), "%v", err)
	})
}
