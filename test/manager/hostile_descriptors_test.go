// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testseed"
	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// hostileWorld is a manager with plugins that exist only in its store, and a
// registry that knows their digests.
type hostileWorld struct {
	*world
	random   *rand.Rand
	registry *fake.Registry
	host     string
	known    []ocispec.Descriptor // the content of the store
	kept     map[string]keptFile  // its files, by path
}

// keptFile identifies a file that nothing may remove, replace or change.
type keptFile struct {
	inode   uint64
	content string
}

func newHostileWorld(t *testing.T, seed uint64) *hostileWorld {
	t.Helper()
	w, registry, host := newConnectedWorld(t)
	h := &hostileWorld{world: w, registry: registry, host: host, random: rand.New(rand.NewPCG(seed, 0))}
	for _, name := range []string{"mine", host + "/group/pushed:v1"} {
		w.Create(name)
	}
	putVersion(t, registry, "v1")
	putVersion(t, registry, "v2")
	grants, err := w.Privileges(t.Context(), testworld.Named(t, host+"/group/plugin:v1"), nil, nil)
	assert.NilError(t, err)
	_, err = w.pull(host+"/group/plugin:v1", "pulled", grants)
	assert.NilError(t, err)
	w.GC()
	h.kept = h.files()
	for path, file := range h.kept {
		h.known = append(h.known, ocispec.Descriptor{
			Digest: digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(path)),
			Size:   int64(len(file.content)),
		})
	}
	return h
}

func (h *hostileWorld) files() map[string]keptFile {
	h.T.Helper()
	files := map[string]keptFile{}
	for _, path := range h.Blobs() {
		info, err := os.Lstat(path)
		assert.NilError(h.T, err)
		content, err := os.ReadFile(path)
		assert.NilError(h.T, err)
		files[path] = keptFile{inode: info.Sys().(*syscall.Stat_t).Ino, content: string(content)}
	}
	return files
}

// checkKept checks that no operation touched content that the plugins need.
func (h *hostileWorld) checkKept(why string) {
	h.T.Helper()
	h.GC()
	now := h.files()
	for path, file := range h.kept {
		assert.Check(h.T, now[path] == file, "%s: %s is gone, replaced or changed", why, filepath.Base(path))
	}
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// descriptor describes content of the store, or absent content, rightly or wrongly.
func (h *hostileWorld) descriptor(mediaTypes ...string) ocispec.Descriptor {
	d := pick(h.random, h.known...)
	right := d.Size
	d.MediaType = pick(h.random, mediaTypes...)
	d.Size = pick(h.random, right, right, right, right, right, right, right+1, right-1, 0, -1, 1<<40, int64(h.random.IntN(5000)))
	switch h.random.IntN(20) {
	case 0:
		d.Digest = digest.FromString(strconv.Itoa(h.random.IntN(3)))
	case 1:
		d.Digest = digest.Digest(pick(h.random, "", "sha256:", "sha256:../x", "md5:"+d.Digest.Encoded()[:32], "sha512:"+strings.Repeat(d.Digest.Encoded(), 2)))
	case 2:
		d.Data = []byte("other content")
	case 3:
		d.URLs = []string{"http://" + h.host + "/v2/group/plugin/blobs/" + h.known[0].Digest.String()}
	case 4:
		d.Annotations = map[string]string{"containerd.io/distribution.source." + h.host: "group/plugin"}
	}
	return d
}

// publish makes the registry serve a document under the tag, or lie about the
// tag's target. It describes its choice.
func (h *hostileWorld) publish() string {
	h.registry.Heal()
	const repository, tag = "hostile/plugin", "latest"
	if h.random.IntN(4) == 0 {
		target := h.descriptor(fake.MediaTypeManifest, fake.MediaTypeIndex, fake.MediaTypeConfig)
		h.registry.Inject(http.MethodHead, "hostile/plugin/manifests/", 0, answerHead(target))
		return fmt.Sprintf("tag of %s %s, %d bytes", target.MediaType, target.Digest, target.Size)
	}
	if h.random.IntN(4) == 0 {
		index := h.registry.PutIndex(repository, tag, h.descriptor(fake.MediaTypeManifest, fake.MediaTypeIndex))
		return "index " + index.Digest.String()
	}
	config := h.descriptor(fake.MediaTypeConfig)
	if h.random.IntN(2) == 0 {
		config = ocispec.Descriptor{MediaType: fake.MediaTypeConfig, Digest: digest.FromBytes([]byte(soundConfig)), Size: int64(len(soundConfig))}
		h.registry.PutBlob(repository, []byte(soundConfig))
	}
	m := ocispec.Manifest{MediaType: fake.MediaTypeManifest, Config: config}
	m.SchemaVersion = 2
	for range h.random.IntN(4) {
		m.Layers = append(m.Layers, h.descriptor(fake.MediaTypeLayer, ocispec.MediaTypeImageLayer, fake.MediaTypeConfig))
	}
	if h.random.IntN(4) == 0 {
		m.Layers = append(m.Layers, config, pick(h.random, append(m.Layers, config)...))
	}
	for _, known := range h.known {
		if h.random.IntN(3) == 0 {
			h.registry.Inject(http.MethodGet, known.Digest.Encoded(), 0, pick(h.random, fake.Lie([]byte("lie")), fake.Cut(1), fake.Refuse(http.StatusGone)))
		}
	}
	d := h.registry.PutDocument(repository, tag, m.MediaType, m)
	return "manifest " + d.Digest.String()
}

const soundConfig = `{"description":"hostile","interface":{"types":["docker.dummy/1.0"],"socket":"plugin.sock"},"entrypoint":["/plugin"],"network":{"type":"none"}}`

// answerHead describes the target of a tag, which the registry lacks.
func answerHead(d ocispec.Descriptor) fake.Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", d.MediaType)
			w.Header().Set("Docker-Content-Digest", d.Digest.String())
			w.Header().Set("Content-Length", strconv.FormatInt(max(d.Size, 0), 10))
		})
	}
}

// TestHostileDescriptors makes a registry refer to content of other plugins in
// every way, for each verb that uses the registry. The content stays.
func TestHostileDescriptors(t *testing.T) {
	seed := testseed.Of(t)
	h := newHostileWorld(t, seed)
	reference := h.host + "/hostile/plugin:latest"
	answered := map[string]int{}
	for step := range 150 {
		published := h.publish()
		grants, err := h.Privileges(t.Context(), testworld.Named(t, reference), nil, nil)
		answered[fmt.Sprintf("privileges %v", err == nil)]++
		h.checkKept(fmt.Sprintf("step %d, privileges of %s: %v", step, published, err))

		name := fmt.Sprintf("hostile%d:latest", step)
		_, err = h.pull(reference, name, grants)
		answered[fmt.Sprintf("pull %v", err == nil)]++
		h.checkKept(fmt.Sprintf("step %d, pull of %s: %v", step, published, err))
		if err == nil {
			assert.NilError(t, h.Remove(name, nil))
		}

		if step == 0 {
			err = h.CreateConfig("upgraded", plugintest.Config())
			assert.NilError(t, err)
		}
		err = h.upgrade(reference, "upgraded", grants)
		answered[fmt.Sprintf("upgrade %v", err == nil)]++
		h.checkKept(fmt.Sprintf("step %d, upgrade to %s: %v", step, published, err))

		if h.random.IntN(2) == 0 {
			h.registry.Heal()
		}
		h.registry.Inject("", pick(h.random, "/blobs/", "/manifests/", "/nothing/"), 0, fake.Refuse(pick(h.random, 400, 404, 409, 416)))
		err = h.Push(t.Context(), h.host+"/group/pushed:v1", nil, nil, io.Discard)
		answered[fmt.Sprintf("push %v", err == nil)]++
		h.checkKept(fmt.Sprintf("step %d, push: %v", step, err))
		if t.Failed() {
			return
		}
	}
	t.Log(answered)
	for _, verb := range []string{"privileges", "pull", "upgrade", "push"} {
		assert.Check(t, answered[verb+" true"] > 0 && answered[verb+" false"] > 0, "%s always ends the same way", verb)
	}
	h.registry.Heal()
	h.push(h.host + "/group/pushed:v1")
	h.Check("all is still")
}

// TestDescriptorOfOtherSizeIsRefused pulls a plugin that names a stored digest with
// another size. The error names both sizes. The corrected plugin is pulled.
func TestDescriptorOfOtherSizeIsRefused(t *testing.T) {
	h := newHostileWorld(t, 1)
	config := h.registry.PutBlob("hostile/plugin", []byte(soundConfig))
	publish := func(layer ocispec.Descriptor) {
		m := ocispec.Manifest{MediaType: fake.MediaTypeManifest, Config: ocispec.Descriptor{MediaType: fake.MediaTypeConfig, Digest: config, Size: int64(len(soundConfig))}, Layers: []ocispec.Descriptor{layer}}
		m.SchemaVersion = 2
		h.registry.PutDocument("hostile/plugin", "latest", m.MediaType, m)
	}
	mine, err := h.Get("mine")
	assert.NilError(t, err)
	path := filepath.Join(h.Config.Root, "storage", "blobs", "sha256", mine.Blobsums[0].Encoded())
	layer := ocispec.Descriptor{MediaType: fake.MediaTypeLayer, Digest: mine.Blobsums[0], Size: int64(len(h.kept[path].content))}
	wrong := layer
	wrong.Size += 7
	publish(wrong)
	reference := h.host + "/hostile/plugin:latest"
	grants, err := h.Privileges(t.Context(), testworld.Named(t, reference), nil, nil)
	assert.NilError(t, err)
	_, err = h.pull(reference, "p", grants)
	var described *plugin.DescriptorError
	assert.Assert(t, errors.As(err, &described) && errdefs.IsInvalidArgument(err), "%v", err)
	assert.Check(t, is.ErrorContains(err, fmt.Sprintf("%s: descriptor has size %d, content has size %d", layer.Digest, wrong.Size, layer.Size)))
	publish(layer)
	_, err = h.pull(reference, "p", grants)
	assert.NilError(t, err)
	h.checkKept("pull of a layer that is here")
}
