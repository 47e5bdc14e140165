// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	registrytypes "github.com/docker/docker/api/types/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// other is an empty registry to push to.
func (b *bench) other(t *testing.T) *bench {
	t.Helper()
	o := *b
	o.Registry = fake.New()
	o.host = o.Start(t)
	o.options.Endpoints = endpoints{endpointAt(t, "http://"+o.host)}
	return &o
}

func (b *bench) push(ctx context.Context, request Request, sources ...reference.Named) (Pushed, error) {
	return New(b.options).Push(ctx, request, b.target.Digest, sources...)
}

// TestPush pushes a pulled plugin to another registry, byte for byte.
func TestPush(t *testing.T) {
	b := newBench(t)
	b.mustPull(t)
	o := b.other(t)
	var told recorder
	request := o.request(t)
	request.Progress = &told
	pushed, err := o.push(t.Context(), request)
	assert.NilError(t, err)
	assert.Equal(t, pushed, Pushed{Tag: "latest", Digest: b.target.Digest, Size: b.target.Size})
	mediaType, manifest := o.Manifest(repository, "latest")
	assert.Equal(t, mediaType, fake.MediaTypeManifest)
	assert.Equal(t, digest.FromBytes(manifest), b.target.Digest)
	for _, blob := range append(slices.Clone(b.packed), []byte(config)) {
		assert.Check(t, o.Has(repository, digest.FromBytes(blob)))
		assert.DeepEqual(t, told.actions(blob), []string{"Preparing", "Pushing", "Pushed"})
	}
	last := told.all[len(told.all)-1]
	assert.DeepEqual(t, last.Aux, types.PushResult{Tag: "latest", Digest: b.target.Digest.String(), Size: int(b.target.Size)})
	assert.Equal(t, told.all[len(told.all)-2].Message, fmt.Sprintf("latest: digest: %s size: %d", b.target.Digest, b.target.Size))

	o.freshStore(t)
	o.mustPull(t)
}

// Media types go as they came.
func TestPushKeepsMediaTypes(t *testing.T) {
	b := newBench(t)
	m := b.manifest()
	m.Layers[0].MediaType = ocispec.MediaTypeImageLayer
	m.Layers[1].MediaType = ocispec.MediaTypeImageLayerZstd
	m.Annotations = map[string]string{"kept": "as it is"}
	b.target = b.PutDocument(repository, "latest", ocispec.MediaTypeImageManifest, m)
	b.mustPull(t)
	o := b.other(t)
	_, err := o.push(t.Context(), o.request(t))
	assert.NilError(t, err)
	mediaType, manifest := o.Manifest(repository, "latest")
	_, original := b.Manifest(repository, "latest")
	assert.Equal(t, mediaType, ocispec.MediaTypeImageManifest)
	assert.Equal(t, string(manifest), string(original))
}

func TestPushSendsOnlyWhatIsMissing(t *testing.T) {
	b := newBench(t)
	b.mustPull(t)
	o := b.other(t)
	o.PutBlob(repository, b.packed[0])
	var told recorder
	request := o.request(t)
	request.Progress = &told
	_, err := o.push(t.Context(), request)
	assert.NilError(t, err)
	assert.DeepEqual(t, told.actions(b.packed[0]), []string{"Preparing", "Layer already exists"})
	o.Requests()
	_, err = o.push(t.Context(), o.request(t))
	assert.NilError(t, err)
	for _, r := range o.Requests() {
		assert.Equal(t, r.Method, http.MethodHead, "%s was sent again", r.Path)
	}
}

func TestPushMounts(t *testing.T) {
	for _, refuses := range []bool{false, true} {
		b := newBench(t)
		b.mustPull(t)
		b.NoMounts = refuses
		source := named(t, b.host+"/"+repository)
		elsewhere := named(t, "other.example/group/plugin")
		var told recorder
		request := b.request(t)
		request.Reference = named(t, b.host+"/group/copy:tag")
		request.Progress = &told
		_, err := b.push(t.Context(), request, elsewhere, source)
		assert.NilError(t, err)
		assert.Check(t, b.Has("group/copy", digest.FromBytes(b.packed[0])))
		want := []string{"Preparing", "Mounted from " + b.host + "/" + repository}
		if refuses {
			want = []string{"Preparing", "Pushing", "Pushed"}
		}
		assert.DeepEqual(t, told.actions(b.packed[0]), want)
	}
}

func TestPushAuth(t *testing.T) {
	b := newBench(t)
	b.mustPull(t)
	o := b.other(t)
	o.Auth = &fake.Auth{User: "user", Password: "hunter2", OnlyPlugins: true}
	_, err := o.push(t.Context(), o.request(t))
	assert.Check(t, errdefs.IsUnauthorized(err), "%v", err)
	assert.Check(t, is.ErrorContains(err, "push "+o.host+"/"+repository+":latest: "))
	request := o.request(t)
	request.Auth = &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}
	_, err = o.push(t.Context(), request)
	assert.NilError(t, err)
	scopes := o.Auth.Scopes()
	assert.DeepEqual(t, scopes[len(scopes)-1], []string{"repository(plugin):group/plugin:pull,push", "repository:group/plugin:pull,push"})
}

// Uploads that fail on the registry's side are tried again, from their
// beginning.
func TestPushAgain(t *testing.T) {
	for name, fault := range map[string]fake.Fault{
		"server error": fake.Refuse(http.StatusInternalServerError),
		"rate limit":   fake.Refuse(http.StatusTooManyRequests, "Retry-After", "0"),
		"cut": func(http.Handler) http.Handler {
			return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = r.Body.Read(make([]byte, 1000))
				panic(http.ErrAbortHandler)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.mustPull(t)
			o := b.other(t)
			o.Inject(http.MethodPut, "/blobs/", 2, fault)
			o.Inject(http.MethodPut, "/manifests/", 1, fault)
			_, err := o.push(t.Context(), o.request(t))
			assert.NilError(t, err)
			o.freshStore(t)
			o.mustPull(t)
		})
	}
}

// Only what a registry says it has taken is pushed.
func TestPushAnsweredByWhatMeansNothing(t *testing.T) {
	other := digest.FromString("other").String()
	for _, test := range []struct {
		name, method, path string
		fault              fake.Fault
	}{
		{"not modified", "PUT", "/uploads/", fake.Refuse(http.StatusNotModified)},
		{"moved, not where", "PUT", "/uploads/", fake.Refuse(http.StatusMovedPermanently)},
		{"several choices", "PUT", "/manifests/", fake.Refuse(http.StatusMultipleChoices)},
		{"begun nowhere", "POST", "/uploads/", fake.Refuse(http.StatusAccepted)},
		{"created at once", "POST", "/uploads/", fake.Refuse(http.StatusCreated)},
		{"another blob", "PUT", "/uploads/", fake.Refuse(http.StatusCreated, "Docker-Content-Digest", other)},
		{"another manifest", "PUT", "/manifests/", fake.Refuse(http.StatusCreated, "Docker-Content-Digest", other)},
		{"an address that is none", "POST", "/uploads/", fake.Refuse(http.StatusAccepted, "Location", "://%zz")},
		{"an address of another kind", "POST", "/uploads/", fake.Refuse(http.StatusAccepted, "Location", "file:///etc/passwd")},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.mustPull(t)
			o := b.other(t)
			o.Inject(test.method, test.path, 0, test.fault)
			var told recorder
			request := o.request(t)
			request.Progress = &told
			_, err := o.push(t.Context(), request)
			assert.Check(t, errdefs.IsInternal(err), "%v", err)
			if test.path == "/uploads/" {
				assert.Check(t, !slices.Contains(told.actions(b.packed[0]), "Pushed"))
			}
		})
	}
}

// A registry that wants chunks gets them, of the size that it wants.
func TestPushInChunks(t *testing.T) {
	for _, chunk := range []int64{100000, 300000} {
		b := newBench(t)
		b.mustPull(t)
		o := b.other(t)
		o.options.ChunkBytes = 100000
		o.ChunkMinLength = chunk
		o.Inject(http.MethodPut, "/uploads/", 1, fake.LoseUpload)
		_, err := o.push(t.Context(), o.request(t))
		assert.NilError(t, err)
		var ranges []string
		for _, r := range o.Requests() {
			if r.Method == http.MethodPatch {
				ranges = append(ranges, r.Header.Get("Content-Range"))
			}
		}
		assert.Check(t, is.Contains(ranges, fmt.Sprintf("0-%d", chunk-1)))
		assert.Check(t, is.Contains(ranges, fmt.Sprintf("%d-%d", chunk, 2*chunk-1)))
		o.freshStore(t)
		o.mustPull(t)
	}
}

func TestPushRefused(t *testing.T) {
	for _, path := range []string{"/blobs/", "/manifests/"} {
		b := newBench(t)
		b.mustPull(t)
		o := b.other(t)
		o.Inject(http.MethodPut, path, 0, fake.Refuse(http.StatusForbidden))
		_, err := o.push(t.Context(), o.request(t))
		assert.Check(t, errdefs.IsPermissionDenied(err), "%v", err)
		assert.Check(t, is.ErrorContains(err, o.host+": 403 Forbidden: REFUSED refused by a fault"))
	}
}

func TestPushOfWhatIsNotHere(t *testing.T) {
	b := newBench(t)
	_, err := b.push(t.Context(), b.request(t))
	assert.Check(t, errdefs.IsNotFound(err), "%v", err)
	assert.Check(t, is.ErrorContains(err, "manifest "+b.target.Digest.String()+" is not in the local store"))
	b.mustPull(t)
	path := b.path(b.packed[1])
	assert.NilError(t, os.Chmod(path, 0o600))
	assert.NilError(t, os.Truncate(path, 7))
	_, err = b.push(t.Context(), b.request(t))
	assert.Check(t, errdefs.IsDataLoss(err), "%v", err)
	assert.Check(t, is.ErrorContains(err, "blob "+digest.FromBytes(b.packed[1]).String()+" is corrupt"))
	assert.NilError(t, os.Remove(path))
	_, err = b.push(t.Context(), b.request(t))
	assert.Check(t, errdefs.IsNotFound(err), "%v", err)
	assert.Check(t, is.ErrorContains(err, "blob "+digest.FromBytes(b.packed[1]).String()+" is not in the local store"))
}

func TestPushCancelled(t *testing.T) {
	for _, word := range []string{"/blobs/sha256", "/blobs/uploads/", "/manifests/"} {
		t.Run(word, func(t *testing.T) {
			b := newBench(t)
			b.mustPull(t)
			o := b.other(t)
			ctx, cancel := context.WithCancel(t.Context())
			o.Inject("", word, 0, func(http.Handler) http.Handler {
				return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					cancel()
					<-r.Context().Done()
				})
			})
			_, err := o.push(ctx, o.request(t))
			assert.Check(t, is.ErrorIs(err, context.Canceled))
			assert.Check(t, strings.HasPrefix(err.Error(), "push "+o.host))
		})
	}
}

// TestPushInPartsOfChunks pushes to a registry that keeps less of a chunk than it got. A
// registry that keeps nearly nothing is refused.
func TestPushInPartsOfChunks(t *testing.T) {
	for _, kept := range []int64{100000, 1} {
		b := newBench(t)
		b.mustPull(t)
		o := b.other(t)
		o.options.ChunkBytes, o.options.Transfers = 200000, 1
		o.ChunkMinLength = 1
		o.Inject(http.MethodPatch, "/uploads/", 0, fake.KeepLess(kept))
		_, err := o.push(t.Context(), o.request(t))
		if kept == 1 {
			assert.Check(t, is.ErrorContains(err, "it keeps less than half of each chunk"))
			continue
		}
		assert.NilError(t, err)
		var ranges []string
		for _, r := range o.Requests() {
			if r.Method == http.MethodPatch {
				ranges = append(ranges, r.Header.Get("Content-Range"))
			}
		}
		assert.Check(t, is.Contains(ranges, "100000-299999"))
		o.freshStore(t)
		o.mustPull(t)
	}
}
