// SPDX-License-Identifier: Apache-2.0

// Package registry is an in-memory container registry for tests of clients that pull
// and push plugins. It implements the parts of the distribution protocol that such
// clients need (https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md),
// keeps a log of requests, and misbehaves on demand: see [Fault] and [Auth].
//
// Quirks of real registries are simulated like this:
//
//   - a token server that fails once: Inject("", "/token", 1, Refuse(503)) or
//     Cut(0);
//   - tokens that expire during a transfer: Auth.Uses, Auth.ExpiresIn, Auth.Opaque;
//   - several challenges, in one header field or many: Auth.Before, Auth.After,
//     Auth.OneField;
//   - a wrong password that is retried: Auth.Rejected;
//   - mounts that are refused: [RefuseMounts], Auth.Hidden, Registry.NoMounts;
//   - locations and answers of uploads: Registry.Location, UploadStatus and
//     ChunkMinLength, [LoseUpload], [KeepLess];
//   - a commit that takes minutes: [HoldUpload];
//   - an upload that is refused, or never answered: [Refuse], [Hold];
//   - an answer before the body of the request is read: [AnswerEarly], with
//     Registry.HTTP2;
//   - ranges that are refused or ignored: [RefuseRanges], [IgnoreRange];
//   - more or fewer bytes than promised: [Lengthen], [Shorten], [Cut], [Lie];
//   - redirects: [Redirect], [RedirectAs];
//   - unsupported HEAD, missing or wrong headers: [NoHead],
//     [SetHeader], [FirstAcceptOnly].
package registry

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

// Registry is a registry as an [http.Handler]. Use [New] to make one. It is safe for
// concurrent use. Set the exported fields before the first request.
type Registry struct {
	// Auth configures authentication. Nil permits all requests.
	Auth *Auth
	// NoMounts makes the registry begin an upload instead of mounting a blob from
	// another repository, which the specification allows. See also
	// [RefuseMounts].
	NoMounts bool
	// Location returns the Location header of an upload, given the registry's
	// host and a path. Nil means the path. [RelativeLocation] and others are
	// variants of real registries.
	Location func(host, path string) string
	// UploadStatus is the status for completed uploads and manifests. Zero means
	// 201.
	UploadStatus int
	// ChunkMinLength makes the registry require uploads in chunks of at least
	// this many bytes, except for the last chunk, and announce it in the header
	// OCI-Chunk-Min-Length. Zero means no requirement.
	ChunkMinLength int64
	// HTTP2 makes StartTLS serve HTTP/2 with a window of [HTTP2Window] for the body of
	// a request. False means HTTP/1.1.
	HTTP2 bool

	mu           sync.Mutex
	repositories map[string]*repository
	uploads      map[string][]byte
	faults       []*fault
	log          []Request
}

// repository is the content of one repository.
type repository struct {
	manifests map[digest.Digest]manifest
	tags      map[string]digest.Digest
	blobs     map[digest.Digest][]byte
}

type manifest struct {
	mediaType string
	bytes     []byte
}

// Request is an entry of the request log.
type Request struct {
	Method string
	Path   string
	Query  string
	Header http.Header
}

// New returns an empty registry.
func New() *Registry {
	return &Registry{repositories: map[string]*repository{}, uploads: map[string][]byte{}}
}

// Start serves the registry over HTTP until the test ends, and returns its host.
func (r *Registry) Start(t testing.TB) (host string) {
	t.Helper()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// HTTP2Window is the number of bytes of a request's body that a registry with HTTP2 set
// accepts before it reads the body. It is the window before the first settings, which
// clients use at once: https://www.rfc-editor.org/rfc/rfc9113#section-6.9.2.
const HTTP2Window = 1<<16 - 1

// StartTLS serves the registry over HTTPS with a test certificate, which the server's
// Certificate method returns.
func (r *Registry) StartTLS(t testing.TB) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(r)
	server.EnableHTTP2 = r.HTTP2
	server.Config.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: HTTP2Window}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// Requests returns the log since the last call, in order of arrival.
func (r *Registry) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	log := r.log
	r.log = nil
	return log
}

// Has reports whether a repository has a blob.
func (r *Registry) Has(name string, id digest.Digest) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.repositoryLocked(name).blobs[id]
	return ok
}

// Remove deletes a repository.
func (r *Registry) Remove(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.repositories, name)
}

// Manifest returns the manifest of a tag or a digest. data is nil if it does not
// exist.
func (r *Registry) Manifest(name, reference string) (mediaType string, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, _ := r.manifestLocked(name, reference)
	return m.mediaType, slices.Clone(m.bytes)
}

// PutBlob adds a blob to a repository.
func (r *Registry) PutBlob(name string, data []byte) digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := digest.FromBytes(data)
	r.repositoryLocked(name).blobs[id] = data
	return id
}

// PutManifest adds a manifest or an index to a repository, and tags it unless
// tag is empty.
func (r *Registry) PutManifest(name, tag, mediaType string, data []byte) digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := digest.FromBytes(data)
	repository := r.repositoryLocked(name)
	repository.manifests[id] = manifest{mediaType, data}
	if tag != "" {
		repository.tags[tag] = id
	}
	return id
}

func (r *Registry) repositoryLocked(name string) *repository {
	if r.repositories[name] == nil {
		r.repositories[name] = &repository{
			manifests: map[digest.Digest]manifest{},
			tags:      map[string]digest.Digest{},
			blobs:     map[digest.Digest][]byte{},
		}
	}
	return r.repositories[name]
}

func (r *Registry) manifestLocked(name, reference string) (manifest, digest.Digest) {
	repository := r.repositoryLocked(name)
	id := digest.Digest(reference)
	if tagged, ok := repository.tags[reference]; ok {
		id = tagged
	}
	return repository.manifests[id], id
}
