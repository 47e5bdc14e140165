// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/pkg/progress"
	"github.com/docker/docker/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/blobs"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

const (
	repository = "group/plugin"
	config     = `{"description":"a plugin"}`
)

// endpoints are a resolver that always gives the same answer.
type endpoints []registry.APIEndpoint

func (e endpoints) LookupPullEndpoints(string) ([]registry.APIEndpoint, error) { return e, nil }

func endpointAt(t testing.TB, address string) registry.APIEndpoint {
	t.Helper()
	parsed, err := url.Parse(address)
	assert.NilError(t, err)
	return registry.APIEndpoint{URL: parsed}
}

// bench is a registry with a plugin of two layers, and a client with a store.
type bench struct {
	*fake.Registry
	host    string
	options Options
	dir     string
	store   *blobs.Store
	layers  []string // their plain content
	packed  [][]byte
	target  ocispec.Descriptor
}

func newBench(t *testing.T) *bench {
	t.Helper()
	checkGoroutines(t)
	b := &bench{Registry: fake.New()}
	b.host = b.Start(t)
	b.options = Options{
		Endpoints:     endpoints{endpointAt(t, "http://"+b.host)},
		RetryWait:     time.Millisecond,
		IdleTimeout:   10 * time.Second,
		MaxRetryAfter: 3 * time.Second,
	}
	b.freshStore(t)
	for _, text := range []string{"first layer ", "second layer "} {
		plain := strings.Repeat(text, 50000)
		b.layers = append(b.layers, plain)
		b.packed = append(b.packed, pack(t, plain))
	}
	b.target = b.PutPlugin(repository, "latest", []byte(config), b.packed...)
	return b
}

func (b *bench) freshStore(t testing.TB) {
	t.Helper()
	b.dir = filepath.Join(t.TempDir(), "storage")
	store, err := blobs.Open(b.dir, nil)
	assert.NilError(t, err)
	b.store, b.options.Blobs = store, store
}

// has reports whether the store has a blob.
func (b *bench) has(dgst digest.Digest) bool {
	_, err := os.Stat(filepath.Join(b.dir, "blobs", dgst.Algorithm().String(), dgst.Encoded()))
	return err == nil
}

// unfinished returns the refs of unfinished uploads.
func (b *bench) unfinished(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(b.dir, "ingest", "*", "ref"))
	assert.NilError(t, err)
	var refs []string
	for _, file := range files {
		ref, err := os.ReadFile(file)
		assert.NilError(t, err)
		refs = append(refs, string(ref))
	}
	return refs
}

// pack stores instead of compressing, so that a layer has many bytes.
func pack(t testing.TB, plain string) []byte {
	t.Helper()
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.NoCompression)
	assert.NilError(t, err)
	_, err = io.WriteString(w, plain)
	assert.NilError(t, err)
	assert.NilError(t, w.Close())
	return packed.Bytes()
}

func named(t testing.TB, name string) reference.Named {
	t.Helper()
	parsed, err := reference.ParseNormalizedNamed(name)
	assert.NilError(t, err)
	return parsed
}

func (b *bench) request(t testing.TB) Request {
	t.Helper()
	return Request{Reference: named(t, b.host+"/"+repository), Pin: b.store.NewPin()}
}

// pull resolves, fetches, and reads all layers.
func (b *bench) pull(ctx context.Context, request Request) ([]string, error) {
	p, err := New(b.options).Resolve(ctx, request)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	var contents []string
	err = p.Fetch(ctx, func(ctx context.Context, layers []*Layer) error {
		for _, layer := range layers {
			content, err := read(ctx, layer)
			if err != nil {
				return err
			}
			contents = append(contents, content)
		}
		return nil
	})
	return contents, err
}

func read(ctx context.Context, layer *Layer) (string, error) {
	blob, err := layer.Open(ctx)
	if err != nil {
		return "", err
	}
	defer blob.Close()
	packed, err := io.ReadAll(blob)
	if err != nil {
		return "", err
	}
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(plain)
	return string(content), err
}

func (b *bench) mustPull(t testing.TB) {
	t.Helper()
	contents, err := b.pull(t.Context(), b.request(t))
	assert.NilError(t, err)
	assert.Equal(t, len(contents), len(b.layers))
	for i := range contents {
		assert.Check(t, contents[i] == b.layers[i], "layer %d is not what it was", i)
	}
}

// blobPath is where a blob is asked for.
func blobPath(data []byte) string { return "/blobs/" + digest.FromBytes(data).String() }

// asked returns the requests with a word in their path.
func (b *bench) asked(word string) []fake.Request {
	var asked []fake.Request
	for _, request := range b.Requests() {
		if strings.Contains(request.Path, word) {
			asked = append(asked, request)
		}
	}
	return asked
}

// recorder keeps progress.
type recorder struct {
	mu  sync.Mutex
	all []progress.Progress
}

func (r *recorder) WriteProgress(p progress.Progress) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, p)
	return nil
}

// actions returns the reported actions of a blob, each once.
func (r *recorder) actions(data []byte) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var actions []string
	id := digest.FromBytes(data).Encoded()[:12]
	for _, p := range r.all {
		if p.ID == id && (len(actions) == 0 || actions[len(actions)-1] != p.Action) {
			actions = append(actions, p.Action)
		}
	}
	return actions
}

// blobs returns the number of blobs with a report.
func (r *recorder) blobs() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := map[string]bool{}
	for _, p := range r.all {
		ids[p.ID] = true
	}
	return len(ids)
}

// checkGoroutines fails a test that leaves a goroutine of ours, or of the
// client below, behind.
func checkGoroutines(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		deadline := time.After(5 * time.Second)
		for {
			left := strangers()
			if left == "" {
				return
			}
			select {
			case <-tick.C:
			case <-deadline:
				t.Errorf("goroutines are left:\n%s", left)
				return
			}
		}
	})
}

func strangers() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var left []string
	for _, stack := range strings.Split(string(stacks), "\n\n") {
		if strings.Contains(stack, "testing.(*T).Run") || strings.Contains(stack, "remote.checkGoroutines") {
			continue
		}
		if strings.Contains(stack, "internal/remote.") || strings.Contains(stack, "net/http.(*persistConn)") {
			left = append(left, stack)
		}
	}
	return strings.Join(left, "\n\n")
}
