// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

func TestPull(t *testing.T) {
	b := newBench(t)
	var told recorder
	request := b.request(t)
	request.Progress = &told
	p, err := New(b.options).Resolve(t.Context(), request)
	assert.NilError(t, err)
	defer p.Close()
	assert.Equal(t, p.Digest, b.target.Digest)
	assert.DeepEqual(t, p.Manifest, b.target)
	assert.Equal(t, string(p.ConfigBytes), config)
	assert.Equal(t, p.Config.Digest, digest.FromString(config))
	assert.Equal(t, len(p.Layers), 2)
	for i, layer := range b.packed {
		assert.Equal(t, p.Layers[i].Digest, digest.FromBytes(layer))
		assert.Equal(t, len(b.asked(blobPath(layer))), 0, "a layer was asked for before it was wanted")
	}
	assert.NilError(t, p.Fetch(t.Context(), func(ctx context.Context, layers []*Layer) error {
		for i, layer := range layers {
			content, err := read(ctx, layer)
			assert.NilError(t, err)
			assert.Check(t, content == b.layers[i])
		}
		return nil
	}))
	for _, layer := range b.packed {
		assert.DeepEqual(t, told.actions(layer), []string{"Pulling fs layer", "Downloading", "Verifying Checksum", "Download complete"})
	}
	assert.Equal(t, told.blobs(), len(b.packed), "people are shown layers only")
	usage, err := b.store.Usage()
	assert.NilError(t, err)
	assert.Equal(t, usage.Count, 4)
	assert.Equal(t, len(b.unfinished(t)), 0)
}

func TestPullAgainAsksForNoBlob(t *testing.T) {
	b := newBench(t)
	b.mustPull(t)
	b.Requests()
	b.mustPull(t)
	assert.Equal(t, len(b.asked("/blobs/")), 0)
}

// TestPullIsReadWhileItComes reads the first part of a layer before the rest has
// arrived.
func TestPullIsReadWhileItComes(t *testing.T) {
	b := newBench(t)
	release := make(chan struct{})
	half := len(b.packed[0]) / 2
	b.Inject(http.MethodGet, blobPath(b.packed[0]), 1, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(b.packed[0][:half])
			_ = http.NewResponseController(w).Flush()
			<-release
			_, _ = w.Write(b.packed[0][half:])
		})
	})
	p, err := New(b.options).Resolve(t.Context(), b.request(t))
	assert.NilError(t, err)
	defer p.Close()
	assert.NilError(t, p.Fetch(t.Context(), func(ctx context.Context, layers []*Layer) error {
		blob, err := layers[0].Open(ctx)
		assert.NilError(t, err)
		defer blob.Close()
		first := make([]byte, half)
		_, err = io.ReadFull(blob, first)
		assert.NilError(t, err)
		assert.Check(t, bytes.Equal(first, b.packed[0][:half]))
		close(release)
		rest, err := io.ReadAll(blob)
		assert.NilError(t, err)
		assert.Check(t, bytes.Equal(rest, b.packed[0][half:]))
		return nil
	}))
}

// All layers come at once, as far as the client may.
func TestPullInParallel(t *testing.T) {
	for _, transfers := range []int{1, 2} {
		b := newBench(t)
		b.options.Transfers = transfers
		release := make(chan struct{})
		arrived := make(chan struct{}, 2)
		b.Inject(http.MethodGet, "/blobs/", 0, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.Contains(r.URL.Path, digest.FromString(config).String()) {
					arrived <- struct{}{}
					<-release
				}
				next.ServeHTTP(w, r)
			})
		})
		p, err := New(b.options).Resolve(t.Context(), b.request(t))
		assert.NilError(t, err)
		assert.NilError(t, p.Fetch(t.Context(), func(context.Context, []*Layer) error {
			for range transfers {
				<-arrived
			}
			close(release)
			return nil
		}))
		p.Close()
	}
}

func TestPullOddLayers(t *testing.T) {
	b := newBench(t)
	empty := []byte{}
	b.PutPlugin(repository, "latest", []byte(config), b.packed[0], empty, b.packed[1], b.packed[0], empty)
	p, err := New(b.options).Resolve(t.Context(), b.request(t))
	assert.NilError(t, err)
	defer p.Close()
	b.Requests()
	assert.NilError(t, p.Fetch(t.Context(), func(ctx context.Context, layers []*Layer) error {
		var sizes []int
		for _, layer := range layers {
			blob, err := layer.Open(ctx)
			assert.NilError(t, err)
			content, err := io.ReadAll(blob)
			assert.NilError(t, err)
			assert.NilError(t, blob.Close())
			sizes = append(sizes, len(content))
		}
		assert.DeepEqual(t, sizes, []int{len(b.packed[0]), 0, len(b.packed[1]), len(b.packed[0]), 0})
		return nil
	}))
	assert.Equal(t, len(b.asked("/blobs/")), 2)
}

// A connection that breaks is taken up where it broke.
func TestPullResumes(t *testing.T) {
	for name, fault := range map[string]fake.Fault{
		"cut": fake.Cut(100000), "cut at once": fake.Cut(0), "stalled": fake.Stall(100000),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.options.IdleTimeout = 100 * time.Millisecond
			b.Inject(http.MethodGet, blobPath(b.packed[0]), 3, fault)
			b.mustPull(t)
			for i, request := range b.asked(blobPath(b.packed[0])) {
				if name == "cut at once" {
					continue
				}
				want := ""
				if i > 0 {
					want = fmt.Sprintf("bytes=%d-", i*100000)
				}
				assert.Equal(t, request.Header.Get("Range"), want)
			}
		})
	}
}

func TestPullWhereRangesAreIgnored(t *testing.T) {
	b := newBench(t)
	b.Inject(http.MethodGet, blobPath(b.packed[0]), 1, fake.Cut(100000))
	b.Inject(http.MethodGet, blobPath(b.packed[0]), 0, fake.IgnoreRange)
	b.mustPull(t)
}

// TestPullResumesEarlierOperation does not fetch again the bytes of a failed
// operation.
func TestPullResumesEarlierOperation(t *testing.T) {
	b := newBench(t)
	b.Inject(http.MethodGet, blobPath(b.packed[0]), 1, fake.Cut(100000))
	b.Inject(http.MethodGet, blobPath(b.packed[0]), 0, fake.Refuse(http.StatusForbidden))
	_, err := b.pull(t.Context(), b.request(t))
	assert.Check(t, errdefs.IsPermissionDenied(err), "%v", err)
	b.Heal()
	b.Requests()
	b.mustPull(t)
	again := b.asked(blobPath(b.packed[0]))
	assert.Equal(t, len(again), 1)
	assert.Equal(t, again[0].Header.Get("Range"), "bytes=100000-")
}

// If the part that an earlier operation left is wrong, the whole blob is fetched.
func TestPullAfterGarbage(t *testing.T) {
	b := newBench(t)
	garbage := bytes.Repeat([]byte("x"), len(b.packed[0]))
	b.Inject(http.MethodGet, blobPath(b.packed[0]), 1, func(http.Handler) http.Handler {
		return fake.Cut(100000)(fake.Lie(garbage)(nil))
	})
	b.Inject(http.MethodGet, blobPath(b.packed[0]), 0, fake.Refuse(http.StatusForbidden))
	_, err := b.pull(t.Context(), b.request(t))
	assert.Check(t, errdefs.IsPermissionDenied(err), "%v", err)
	b.Heal()
	b.mustPull(t)
}

func TestPullGivesUp(t *testing.T) {
	for name, fault := range map[string]fake.Fault{"cut": fake.Cut(0), "stalled": fake.Stall(0)} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.options.IdleTimeout = 20 * time.Millisecond
			b.Inject(http.MethodGet, blobPath(b.packed[1]), 0, fault)
			_, err := b.pull(t.Context(), b.request(t))
			assert.Check(t, errdefs.IsUnavailable(err), "%v", err)
			assert.Check(t, is.ErrorContains(err, b.host))
			var unavailable *UnavailableError
			assert.Check(t, errors.As(err, &unavailable))
			assert.Check(t, len(b.asked(blobPath(b.packed[1]))) <= 4*(maxRetries+1))
		})
	}
}

// TestPullRefusesLies refuses content with a wrong digest or size, and keeps none of
// it.
func TestPullRefusesLies(t *testing.T) {
	for name, lie := range map[string]func(b *bench) []byte{
		"other bytes": func(b *bench) []byte { return bytes.Repeat([]byte("x"), len(b.packed[0])) },
		"too few":     func(b *bench) []byte { return b.packed[0][:1000] },
		"too many":    func(b *bench) []byte { return append(bytes.Clone(b.packed[0]), 'x') },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.Inject(http.MethodGet, blobPath(b.packed[0]), 0, fake.Lie(lie(b)))
			_, err := b.pull(t.Context(), b.request(t))
			assert.Check(t, errdefs.IsDataLoss(err), "%v", err)
			assert.Check(t, is.ErrorContains(err, digest.FromBytes(b.packed[0]).String()))
			assert.Check(t, !b.has(digest.FromBytes(b.packed[0])))
			for _, ref := range b.unfinished(t) {
				assert.Check(t, !strings.Contains(ref, digest.FromBytes(b.packed[0]).String()))
			}
		})
	}
}

// A layer that is damaged in the store fails the pull that finds out, and is
// fetched by the next. The consumer can find the damage first: it takes the archive for
// malformed, or for another one.
func TestPullOverDamage(t *testing.T) {
	b := newBench(t)
	b.mustPull(t)
	for _, found := range []error{nil, errdefs.ErrInvalidArgument} {
		b.damage(t, b.packed[1])
		p, err := New(b.options).Resolve(t.Context(), b.request(t))
		assert.NilError(t, err)
		err = p.Fetch(t.Context(), func(ctx context.Context, layers []*Layer) error {
			if found != nil {
				<-layers[1].arrival.readable
				return found
			}
			_, err := read(ctx, layers[1])
			return err
		})
		p.Close()
		assert.Check(t, errdefs.IsDataLoss(err), "%v", err)
		assert.Check(t, is.ErrorContains(err, digest.FromBytes(b.packed[1]).String()))
		b.mustPull(t)
	}

	b.damage(t, []byte(config))
	b.mustPull(t)
}

// path is the file of what the store keeps.
func (b *bench) path(data []byte) string {
	return filepath.Join(b.dir, "blobs", "sha256", digest.FromBytes(data).Encoded())
}

func (b *bench) damage(t *testing.T, data []byte) {
	t.Helper()
	path := b.path(data)
	assert.NilError(t, os.Chmod(path, 0o600))
	assert.NilError(t, os.WriteFile(path, bytes.Repeat([]byte("x"), len(data)), 0o600))
}

// TestPullConsumerFails returns the error of the consumer of layers.
func TestPullConsumerFails(t *testing.T) {
	b := newBench(t)
	b.Inject(http.MethodGet, blobPath(b.packed[1]), 0, fake.Stall(1000))
	p, err := New(b.options).Resolve(t.Context(), b.request(t))
	assert.NilError(t, err)
	defer p.Close()
	full := errors.New("disk is full")
	err = p.Fetch(t.Context(), func(context.Context, []*Layer) error { return full })
	assert.Check(t, is.ErrorIs(err, full))
}

// TestPullConsumerRefuses deletes partial downloads if the plugin itself is refused,
// and keeps them if the host failed.
func TestPullConsumerRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		kept int
	}{
		"refused":      {fmt.Errorf("layer: %w", errdefs.ErrInvalidArgument), 0},
		"disk is full": {errors.New("disk is full"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.Inject(http.MethodGet, blobPath(b.packed[0]), 0, fake.Stall(1000))
			p, err := New(b.options).Resolve(t.Context(), b.request(t))
			assert.NilError(t, err)
			defer p.Close()
			err = p.Fetch(t.Context(), func(ctx context.Context, layers []*Layer) error {
				r, err := layers[0].Open(ctx)
				assert.NilError(t, err)
				defer r.Close()
				_, err = io.ReadFull(r, make([]byte, 1000))
				assert.NilError(t, err)
				return test.err
			})
			assert.Check(t, is.ErrorIs(err, test.err))
			kept := 0
			for _, ref := range b.unfinished(t) {
				if strings.Contains(ref, digest.FromBytes(b.packed[0]).String()) {
					kept++
				}
			}
			assert.Equal(t, kept, test.kept)
		})
	}
}

// A layer that fails ends the wait for all others.
func TestPullLayerFails(t *testing.T) {
	b := newBench(t)
	b.Inject(http.MethodGet, blobPath(b.packed[0]), 0, fake.Stall(1000))
	b.Inject(http.MethodGet, blobPath(b.packed[1]), 0, fake.Refuse(http.StatusForbidden))
	_, err := b.pull(t.Context(), b.request(t))
	assert.Check(t, errdefs.IsPermissionDenied(err), "%v", err)
}

// Cancelled is over at once, in every phase, and leaves only what can be
// resumed.
func TestPullCancelled(t *testing.T) {
	for _, path := range []string{"/manifests/latest", "/manifests/sha256", "/blobs/", "layer"} {
		t.Run(path, func(t *testing.T) {
			b := newBench(t)
			ctx, cancel := context.WithCancel(t.Context())
			word := path
			if path == "layer" {
				word = blobPath(b.packed[0])
			}
			b.Inject("", word, 1, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					go cancel()
					fake.Stall(10)(next).ServeHTTP(w, r)
				})
			})
			begun := time.Now()
			_, err := b.pull(ctx, b.request(t))
			assert.Check(t, is.ErrorIs(err, context.Canceled))
			assert.Check(t, time.Since(begun) < b.options.IdleTimeout/2)
			b.mustPull(t) // it waits for uploads that are still in use
		})
	}
}

// A registry that stalls does not delay the same layer from another registry.
func TestPullDuringAStalledPull(t *testing.T) {
	b := newBench(t)
	stalled := make(chan struct{})
	b.Inject(http.MethodGet, blobPath(b.packed[0]), 0, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(stalled)
			fake.Stall(1000)(next).ServeHTTP(w, r)
		})
	})
	ctx, leave := context.WithCancelCause(t.Context())
	gone := errors.New("given up")
	done := make(chan error, 1)
	go func() {
		_, err := b.pull(ctx, b.request(t))
		done <- err
	}()
	<-stalled
	good := b.other(t)
	good.PutPlugin(repository, "latest", []byte(config), b.packed...)
	good.mustPull(t)
	assert.Equal(t, len(done), 0, "the other pull is not stalled")
	leave(gone)
	assert.Check(t, is.ErrorIs(<-done, gone))
	b.Heal()
	b.mustPull(t)
}
