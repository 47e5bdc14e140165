// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	dockererrdefs "github.com/docker/docker/errdefs"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// Each refusal has a separate error type, which names the server and the refused
// thing. docker's and containerd's errdefs agree on its class.
func TestRefusals(t *testing.T) {
	tests := []struct {
		status     int
		containerd func(error) bool
		docker     func(error) bool
		typed      any
	}{
		{http.StatusUnauthorized, errdefs.IsUnauthorized, dockererrdefs.IsUnauthorized, new(*UnauthorizedError)},
		{http.StatusForbidden, errdefs.IsPermissionDenied, dockererrdefs.IsForbidden, new(*ForbiddenError)},
		{http.StatusNotFound, errdefs.IsNotFound, dockererrdefs.IsNotFound, new(*NotFoundError)},
		{http.StatusTooManyRequests, errdefs.IsUnavailable, dockererrdefs.IsUnavailable, new(*RateLimitError)},
		{http.StatusInternalServerError, errdefs.IsUnavailable, dockererrdefs.IsUnavailable, new(*UnavailableError)},
		{http.StatusBadGateway, errdefs.IsUnavailable, dockererrdefs.IsUnavailable, new(*UnavailableError)},
		{http.StatusTeapot, errdefs.IsInternal, dockererrdefs.IsSystem, new(*RefusedError)},
	}
	for _, test := range tests {
		for _, path := range []string{"/manifests/", "/blobs/"} {
			t.Run(http.StatusText(test.status)+path, func(t *testing.T) {
				b := newBench(t)
				b.Inject("", path, 0, fake.Refuse(test.status))
				_, err := b.pull(t.Context(), b.request(t))
				assert.Check(t, test.containerd(err), "%v", err)
				assert.Check(t, test.docker(err), "%v", err)
				assert.Check(t, errors.As(err, test.typed), "%T %v", err, err)
				assert.Check(t, is.ErrorContains(err, "pull "+b.host+"/"+repository+":latest: "+b.host+": "))
			})
		}
	}
}

func TestUnknownPlugin(t *testing.T) {
	b := newBench(t)
	request := b.request(t)
	request.Reference = named(t, b.host+"/no/such:tag")
	_, err := b.pull(t.Context(), request)
	assert.Check(t, errdefs.IsNotFound(err), "%v", err)
	assert.Error(t, err, "pull "+b.host+"/no/such:tag: "+b.host+": not found")
}

func TestUnreachableRegistry(t *testing.T) {
	b := newBench(t)
	b.options.Endpoints = endpoints{endpointAt(t, "http://127.0.0.1:1")}
	_, err := b.pull(t.Context(), b.request(t))
	assert.Check(t, errdefs.IsUnavailable(err), "%v", err)
	assert.Check(t, is.ErrorContains(err, "127.0.0.1:1: "))
	assert.Check(t, is.ErrorContains(err, "connection refused"))
}

// A registry is left alone as long as it asks for, and not asked more often
// than it takes.
func TestRetryAfter(t *testing.T) {
	for name, value := range map[string]func() string{
		"seconds": func() string { return "1" },
		"date":    func() string { return time.Now().Add(2 * time.Second).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.Inject("", blobPath(b.packed[0]), 1, fake.Refuse(http.StatusTooManyRequests, "Retry-After", value()))
			begun := time.Now()
			b.mustPull(t)
			assert.Check(t, time.Since(begun) > 800*time.Millisecond)
			assert.Equal(t, len(b.asked(blobPath(b.packed[0]))), 2)
		})
	}
	t.Run("too long", func(t *testing.T) {
		b := newBench(t)
		b.Inject("", "/manifests/", 0, fake.Refuse(http.StatusTooManyRequests, "Retry-After", "3600"))
		_, err := b.pull(t.Context(), b.request(t))
		var limited *RateLimitError
		assert.Assert(t, errors.As(err, &limited), "%v", err)
		assert.Equal(t, limited.RetryAfter, time.Hour)
		assert.Check(t, is.ErrorContains(err, "429 Too Many Requests (retry after 1h0m0s)"))
		assert.Equal(t, len(b.Requests()), 1)
	})
	t.Run("no end", func(t *testing.T) {
		b := newBench(t)
		b.Inject("", "/manifests/", 0, fake.Refuse(http.StatusTooManyRequests))
		_, err := b.pull(t.Context(), b.request(t))
		assert.Check(t, errdefs.IsUnavailable(err), "%v", err)
		assert.Equal(t, len(b.Requests()), maxRetries+1)
	})
}

func TestServerErrorsThatPass(t *testing.T) {
	b := newBench(t)
	for _, status := range []int{500, 502, 503, 504} {
		b.Inject("", "", 1, fake.Refuse(status))
	}
	b.mustPull(t)
}

// TestSizes bounds the memory of documents, whatever a registry announces or sends.
func TestSizes(t *testing.T) {
	large := []byte(`{"schemaVersion":2,"x":"` + strings.Repeat("x", defaultManifestBytes) + `"}`)
	tests := []struct {
		name    string
		prepare func(b *bench)
		want    string
	}{
		{"manifest", func(b *bench) { b.PutManifest(repository, "latest", fake.MediaTypeManifest, large) }, "larger than 4194304 bytes"},
		{"endless manifest", func(b *bench) {
			b.Inject(http.MethodHead, "/manifests/", 0, fake.Refuse(http.StatusMethodNotAllowed))
			b.Inject(http.MethodGet, "/manifests/", 0, func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", fake.MediaTypeManifest)
					for {
						if _, err := w.Write(large[:64<<10]); err != nil {
							return
						}
					}
				})
			})
		}, "larger than 4194304 bytes"},
		{"config", func(b *bench) { b.PutPlugin(repository, "latest", make([]byte, defaultConfigBytes+1)) }, "config is larger than 1048576 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			test.prepare(b)
			_, err := b.pull(t.Context(), b.request(t))
			assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
			assert.Check(t, is.ErrorContains(err, test.want))
		})
	}
}

// An operator may allow less, and more of a config.
func TestSizesOfTheOperator(t *testing.T) {
	large := []byte(`"` + strings.Repeat("x", 2*defaultConfigBytes) + `"`)
	tests := []struct {
		name    string
		options func(*Options)
		put     func(b *bench)
		limit   string
	}{
		{"low for manifests", func(o *Options) { o.ManifestBytes = 100 }, func(*bench) {}, "ManifestBytes"},
		{"low for configs", func(o *Options) { o.ConfigBytes = 10 }, func(*bench) {}, "ConfigBytes"},
		{"low, but high enough", func(o *Options) { o.ConfigBytes = int64(len(config)) }, func(*bench) {}, ""},
		{"high for configs", func(o *Options) { o.ConfigBytes = 4 * defaultConfigBytes }, func(b *bench) { b.PutPlugin(repository, "latest", large) }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			test.options(&b.options)
			test.put(b)
			_, err := b.pull(t.Context(), b.request(t))
			var tooLarge *TooLargeError
			if test.limit == "" {
				assert.NilError(t, err)
				return
			}
			assert.Assert(t, errors.As(err, &tooLarge), "%v", err)
			assert.Equal(t, tooLarge.Limit, test.limit)
		})
	}
}
