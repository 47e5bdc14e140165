// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	registrytypes "github.com/docker/docker/api/types/registry"
	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// answer is a fault that writes anything.
func answer(write http.HandlerFunc) fake.Fault {
	return func(http.Handler) http.Handler { return write }
}

// endless writes more than a client should take, until it leaves.
func endless(w http.ResponseWriter, text string) {
	block := []byte(strings.Repeat(text, 64<<10/len(text)))
	for range 4 << 10 {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// TestHostileAnswersTakeLittleMemory answers each request before a grant with
// a body that unpacks to much, repeats, or does not end. It counts all allocated
// memory, not only the memory in use.
func TestHostileAnswersTakeLittleMemory(t *testing.T) {
	var window bytes.Buffer
	packer, err := zstd.NewWriter(&window, zstd.WithWindowSize(256<<20), zstd.WithEncoderLevel(zstd.SpeedFastest))
	assert.NilError(t, err)
	_, err = packer.Write(make([]byte, 64<<20))
	assert.NilError(t, err)
	assert.NilError(t, packer.Close())
	configPath := blobPath([]byte(config))
	document := func(text string) func(b *bench) {
		return func(b *bench) { b.PutManifest(repository, "latest", ocispec.MediaTypeImageManifest, []byte(text)) }
	}
	list := func(entry string) string {
		return strings.TrimSuffix(strings.Repeat(entry+",", (4<<20-100)/(len(entry)+1)), ",")
	}
	inject := func(method, path string, fault fake.Fault) func(b *bench) {
		return func(b *bench) { b.Inject(method, path, 0, fault) }
	}
	tests := map[string]func(b *bench){
		"many encodings of a blob": inject("GET", configPath, answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", strings.Repeat("deflate, ", 7000)+"deflate")
			endless(w, "x")
		})),
		"many encodings of a manifest": inject("", "/manifests/", answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", strings.Repeat("deflate, ", 7000)+"deflate")
			endless(w, "x")
		})),
		"a window": inject("GET", configPath, answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "zstd")
			_, _ = w.Write(window.Bytes())
		})),
		"a long header": inject("", "/manifests/", answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 9<<20))
		})),
		"many headers": inject("", "/manifests/", answer(func(w http.ResponseWriter, _ *http.Request) {
			for i := range 100000 {
				w.Header().Set(fmt.Sprint("X-", i), "x")
			}
		})),
		"many challenges": inject("", "/manifests/", answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", strings.Repeat("Bearer a=b, ", 5000))
			w.WriteHeader(http.StatusUnauthorized)
		})),
		"an endless reason": inject("", "/manifests/", answer(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			endless(w, "x")
		})),
		"a long reason": inject("GET", "/manifests/", answer(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprintf(w, `{"errors":[%s]}`, list(`{"code":"A","message":"b"}`)[:60000])
		})),
		"an endless token": func(b *bench) {
			b.Auth = &fake.Auth{User: "user", Password: "hunter2"}
			b.Inject("", "/token", 0, answer(func(w http.ResponseWriter, _ *http.Request) { endless(w, `{"token":`) }))
		},
		"an endless token that looks like a blob": func(b *bench) {
			b.Auth = &fake.Auth{User: "user", Password: "hunter2", Realm: "http://" + b.host + "/v2/x/blobs/token"}
			b.Inject("", "/blobs/token", 0, answer(func(w http.ResponseWriter, _ *http.Request) { endless(w, `{"token":"`) }))
		},
		"an endless manifest": inject("GET", "/manifests/", answer(func(w http.ResponseWriter, _ *http.Request) { endless(w, "[") })),
		"an endless manifest where HEAD is not known": func(b *bench) {
			b.Inject("HEAD", "/manifests/", 0, fake.Refuse(http.StatusMethodNotAllowed))
			b.Inject("GET", "/manifests/", 0, answer(func(w http.ResponseWriter, _ *http.Request) { endless(w, "[") }))
		},
		"an endless config": inject("GET", configPath, answer(func(w http.ResponseWriter, _ *http.Request) { endless(w, "x") })),
		"empty layers":      document(`{"schemaVersion":2,"layers":[` + list(`{}`) + `]}`),
		"empty variants":    document(`{"schemaVersion":2,"manifests":[` + list(`{}`) + `]}`),
		"null layers":       document(`{"schemaVersion":2,"layers":[` + list(`null`) + `]}`),
		"many layer lists":  document(`{"schemaVersion":2,` + list(`"layers":[{},{},{}]`) + `}`),
		"annotations":       document(`{"schemaVersion":2,"config":{"annotations":{` + list(`"":""`) + `}}}`),
		"other members":     document(`{"schemaVersion":2,"x":[` + list(`{"":[]}`) + `]}`),
		"addresses":         document(`{"schemaVersion":2,"layers":[{"urls":[` + list(`""`) + `]}]}`),
		"a long type":       document(`{"schemaVersion":2,"mediaType":"` + strings.Repeat("\\u0001", 600000) + `"}`),
		"many platforms":    document(`{"schemaVersion":2,"manifests":[` + strings.TrimSuffix(strings.Repeat(`{"platform":{"os":"`+strings.Repeat("x", 900)+`"}},`, 4000), ",") + `]}`),
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			prepare(b)
			request := b.request(t)
			request.Auth = &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			_, err := b.pull(t.Context(), request)
			runtime.ReadMemStats(&after)
			assert.Check(t, err != nil)
			assert.Check(t, !errdefs.IsUnknown(err), "%T", err)
			assert.Check(t, len(err.Error()) < 8<<10, "the error has %d bytes", len(err.Error()))
			allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
			t.Logf("%d MiB, %s: %.200s", allocated, time.Since(began), err)
			assert.Check(t, allocated <= 64, "%d MiB", allocated)
		})
	}
}
