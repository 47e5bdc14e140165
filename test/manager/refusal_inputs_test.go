// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
	v2 "github.com/dovetailhq/plugin/v2"
)

func badInputs() []badInput {
	return slices.Concat(beyondLimits(), badConfigs(), hostileEntries(), malformed(), hostileManifests(), badGrants())
}

// beyondLimits returns an input for each way to exceed each limit.
func beyondLimits() []badInput {
	many := make([]entry, strict.Entries+1)
	for i := range many {
		many[i] = regular(fmt.Sprintf("f%d", i), "")
	}
	deep := strings.Repeat("deep/", int(strict.Entries)) + "x"
	large := strings.Repeat("x", int(strict.FileBytes)-1)
	wordy := regular("wordy", "")
	wordy.PAXRecords = map[string]string{"comment": large}
	return []badInput{
		{name: "large file", limit: "FileBytes", says: []string{`"`, `large"`}, layers: [][]entry{{regular("large", large+"xx")}}},
		{name: "large files together", limit: "UnpackedBytes", layers: [][]entry{{regular("a", large), regular("b", large)}, {regular("c", large), regular("d", large)}}},
		{name: "long extended headers", limit: "UnpackedBytes", layers: [][]entry{{wordy, wordy, wordy, wordy}}},
		{name: "sparse file", limit: "FileBytes", says: []string{`hole"`}, packed: sparse},
		{name: "many entries", limit: "Entries", layers: [][]entry{many}},
		{name: "many entries in two layers", limit: "Entries", layers: [][]entry{many[:30], many[20:]}},
		{name: "directories that no entry names", limit: "Entries", layers: [][]entry{{regular(deep, "")}}},
		{name: "bomb", limit: "CompressionRatio", packed: bomb},
		{name: "large config", limit: "ConfigBytes", says: []string{"config"}, config: bytes.Repeat([]byte(" "), int(strict.ConfigBytes)+1)},
		{name: "large manifest", limit: "ManifestBytes", says: []string{"manifest"}, published: func(r *fake.Registry) {
			r.PutManifest("group/bad", "latest", fake.MediaTypeManifest, bytes.Repeat([]byte(" "), int(strict.ManifestBytes)+1))
		}},
	}
}

// bomb returns zeros with the compression ratio that only zstd reaches.
func bomb(t *testing.T, prefix string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	assert.NilError(t, err)
	defer w.Close()
	return w.EncodeAll(packed(t, regular(prefix+"zeros", string(make([]byte, strict.FileBytes-1)))), nil)
}

// sparse returns a file that claims to be large, in the format of GNU tar.
func sparse(t *testing.T, prefix string) []byte {
	t.Helper()
	size := fmt.Sprint(strict.FileBytes + 1)
	layout := "1\n" + size + "\n0\n"
	e := regular(prefix+"x", layout+strings.Repeat("\x00", 512-len(layout)))
	// These keys have the same length as those that archive/tar refuses to write.
	e.PAXRecords = map[string]string{"GNU_sparse.major": "1", "GNU_sparse.minor": "0", "GNU_sparse.name": prefix + "hole", "GNU_sparse.realsize": size}
	return bytes.ReplaceAll(packed(t, e), []byte("GNU_sparse"), []byte("GNU.sparse"))
}

// badConfigs returns configs that can be read, but not installed.
func badConfigs() []badInput {
	var all []badInput
	bad := func(name string, change func(*types.PluginConfig), says ...string) {
		config := plugintest.Config("docker.volumedriver/1.0")
		change(&config)
		encoded, _ := json.Marshal(config) // its types always encode
		all = append(all, badInput{name: name, config: encoded, want: new(*v2.InvalidConfigError), says: says})
	}
	bad("control characters in a source", func(c *types.PluginConfig) {
		source := "/\x1b[2K"
		c.Mounts = []types.PluginMount{{Source: &source, Destination: "/data", Type: "bind"}}
	}, "mounts[0].source", "has control or invisible characters")
	bad("capability out of sight", func(c *types.PluginConfig) {
		c.Linux.Capabilities = []string{"CAP_CHOWN" + strings.Repeat(" ", 100) + "X"}
	}, "linux.capabilities[0]", "blanks in a row")
	bad("the host's devices", func(c *types.PluginConfig) {
		c.Mounts = []types.PluginMount{{Destination: "/d", Type: "devtmpfs"}}
	}, `mounts[0].type "devtmpfs"`, "shows the host's files")
	bad("much at once", func(c *types.PluginConfig) {
		c.Description, c.Network.Type = "\u202e", "\u200b"
	}, "description", "network.type")

	unreadable := func(name, text string, says ...string) {
		all = append(all, badInput{name: name, config: []byte(text), want: new(*v2.InvalidConfigError), says: says})
	}
	unreadable("config that is not JSON", "{entrypoint}", "invalid plugin config")
	unreadable("config of another shape", `{"entrypoint":"/plugin"}`, "entrypoint: a JSON string")
	unreadable("config with a number for a socket", `{"interface":{"socket":7}}`, "interface.socket: a JSON number")
	unreadable("config of the wrong kind", `["entrypoint"]`, "invalid plugin config")
	return all
}

// hostileEntries returns entries that are refused in layers and in contexts.
func hostileEntries() []badInput {
	long := strings.Repeat("n", 256)
	deep := strings.Repeat("deep/", 900)
	link := func(kind byte, name, target string) entry {
		return entry{Header: tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: 0o777}}
	}
	var all []badInput
	bad := func(name, says string, layers ...[]entry) {
		all = append(all, badInput{name: name, layers: layers, want: new(*plugin.ArchiveEntryError), says: []string{says}})
	}
	bad("long name", "too long", []entry{regular(long, "")})
	bad("long path", "too long", []entry{regular(deep+"x", "")})
	bad("long name of a directory", "too long", []entry{regular(long+"/x", "")})
	bad("hard link out", `out"`, []entry{link(tar.TypeLink, "out", "../../../../../../etc/passwd")})
	bad("hard link through a symbolic link", `in"`, []entry{link(tar.TypeSymlink, "out", "/etc"), link(tar.TypeLink, "in", "out/passwd")})
	bad("hard link over layers", `in"`, []entry{link(tar.TypeSymlink, "out", "/etc")}, []entry{link(tar.TypeLink, "in", "out/passwd")})
	bad("loop of symbolic links", "too many symbolic links", []entry{link(tar.TypeSymlink, "a", "b"), link(tar.TypeSymlink, "b", "a"), regular("a/x", "")})
	bad("file as a directory", "not a directory", []entry{regular("a", ""), regular("a/b", "")})
	bad("unknown type", "unknown entry type", []entry{{Header: tar.Header{Typeflag: '7', Name: "x"}}})
	bad("owner out of range", "is out of range", []entry{{Header: tar.Header{Typeflag: tar.TypeReg, Name: "x", Uid: -1}}})
	bad("whiteout of the parent", "does not name an entry", []entry{regular("a/.wh...", "")})
	all = append(all, badInput{
		name: "hard link above the rootfs",
		packed: func(t *testing.T, prefix string) []byte {
			return packed(t, link(tar.TypeLink, prefix+"x", prefix+"../../etc/passwd"))
		},
		want: new(*plugin.ArchiveEntryError),
		says: []string{`x"`, "hard link"},
	})
	return all
}

// malformed returns data that is not an archive, and truncated archives.
func malformed() []badInput {
	cut := func(t *testing.T, prefix string) []byte {
		return packed(t, regular(prefix+"x", strings.Repeat("x", 100<<10)))[:50<<10]
	}
	var all []badInput
	bad := func(name, says string, make func(t *testing.T, prefix string) []byte) {
		all = append(all, badInput{name: name, packed: make, want: new(*plugin.ArchiveError), says: []string{says}})
	}
	bad("no archive", "archive is malformed", func(*testing.T, string) []byte { return bytes.Repeat([]byte("no"), 1000) })
	bad("cut archive", "unexpected EOF", cut)
	bad("cut compression", "unexpected EOF", func(t *testing.T, prefix string) []byte { return compressed(t, cut(t, prefix))[:100] })
	bad("negative size", "archive is malformed", func(t *testing.T, prefix string) []byte {
		archive := packed(t, regular(prefix+"x", "content"))
		copy(archive[124:], "-0000000001\x00")
		return resummed(archive)
	})
	return all
}

// resummed corrects the checksum of the first header.
func resummed(archive []byte) []byte {
	copy(archive[148:156], "        ")
	sum := 0
	for _, b := range archive[:512] {
		sum += int(b)
	}
	copy(archive[148:], fmt.Sprintf("%06o\x00 ", sum))
	return archive
}

func compressed(t *testing.T, plain []byte) []byte {
	t.Helper()
	var to bytes.Buffer
	w := gzip.NewWriter(&to)
	_, err := w.Write(plain)
	assert.NilError(t, err)
	assert.NilError(t, w.Close())
	return to.Bytes()
}

// hostileManifests returns inputs that only a registry can serve.
func hostileManifests() []badInput {
	var all []badInput
	bad := func(name string, want any, says string, change func(m *ocispec.Manifest)) {
		all = append(all, badInput{name: name, want: want, says: []string{says}, published: func(r *fake.Registry) {
			m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: fake.MediaTypeManifest}
			config, _ := json.Marshal(plugintest.Config()) // its types always encode
			m.Config = ocispec.Descriptor{MediaType: fake.MediaTypeConfig, Digest: r.PutBlob("group/bad", config), Size: int64(len(config))}
			change(&m)
			r.PutDocument("group/bad", "latest", m.MediaType, m)
		}})
	}
	layer := func(size int64) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: fake.MediaTypeLayer, Digest: digest.FromString(fmt.Sprint(size)), Size: size}
	}
	unsupported := new(*plugin.MediaTypeError)
	bad("image", unsupported, "it is an image, not a plugin", func(m *ocispec.Manifest) { m.Config.MediaType = ocispec.MediaTypeImageConfig })
	bad("first schema", unsupported, "schema version 1", func(m *ocispec.Manifest) { m.SchemaVersion = 1 })
	bad("layer of unknown type", unsupported, "text/plain", func(m *ocispec.Manifest) { m.Layers = []ocispec.Descriptor{{MediaType: "text/plain"}} })
	bad("digest that is a path", unsupported, "digest", func(m *ocispec.Manifest) {
		m.Layers = []ocispec.Descriptor{{MediaType: fake.MediaTypeLayer, Digest: "sha256:../../../etc/passwd"}}
	})
	bad("negative layer", unsupported, "its size is -1", func(m *ocispec.Manifest) { m.Layers = []ocispec.Descriptor{layer(-1)} })
	bad("huge layers", new(*plugin.LimitError), "UnpackedBytes", func(m *ocispec.Manifest) { m.Layers = []ocispec.Descriptor{layer(1 << 62), layer(1<<62 + 1)} })
	bad("many layers", new(*plugin.LimitError), "Layers of 4", func(m *ocispec.Manifest) {
		for size := range strict.Layers + 1 {
			m.Layers = append(m.Layers, layer(size))
		}
	})
	return all
}

// badGrants returns inputs that are refused before any layer is requested.
func badGrants() []badInput {
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Linux.Capabilities = []string{"CAP_SYS_ADMIN"}
	encoded, _ := json.Marshal(config) // its types always encode
	return []badInput{{
		name:      "privilege that was not granted",
		want:      new(*plugin.PrivilegesError),
		says:      []string{"not granted: capabilities: [CAP_SYS_ADMIN]"},
		published: func(r *fake.Registry) { r.PutPlugin("group/bad", "latest", encoded) },
		grantable: true,
	}}
}
