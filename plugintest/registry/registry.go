// Package registry is a container registry in memory, for tests of what pulls
// and pushes plugins. It speaks the distribution protocol as far as that needs
// it, keeps a log of requests, and misbehaves on demand: see [Fault]
// and [Auth].
//
// The habits of real registries that clients trip over are played like this:
//
//   - a token server that fails once: Inject("", "/token", 1, Refuse(503)) or
//     Cut(0);
//   - tokens that expire in the middle: Auth.Uses, Auth.ExpiresIn, Auth.Opaque;
//   - several challenges, in one header field or many: Auth.Before, Auth.After,
//     Auth.OneField;
//   - a password that is tried too often: Auth.Rejected;
//   - mounts that are refused: [RefuseMounts], Auth.Hidden, Registry.NoMounts;
//   - addresses and answers of uploads: Registry.Location, UploadStatus and
//     ChunkMinLength, [LoseUpload];
//   - a commit that takes minutes: [HoldUpload];
//   - an upload that is refused, or never answered: [Refuse], [Hold];
//   - ranges that are refused or ignored: [RefuseRanges], [IgnoreRange];
//   - more or fewer bytes than promised: [Lengthen], [Shorten], [Cut], [Lie];
//   - redirects: [Redirect], [RedirectAs];
//   - HEAD that is not known, headers that are missing or wrong: [NoHead],
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

// Registry is an http.Handler. New makes one; it is safe for concurrent use.
type Registry struct {
	// Auth guards the registry; nil permits all requests. Set it
	// before the first request.
	Auth *Auth
	// NoMounts begins uploads instead of mounting blobs from other
	// repositories, as a registry may; see also [RefuseMounts].
	NoMounts bool
	// Location writes where an upload continues, given the registry's host and
	// a path. Nil means the path alone. [RelativeLocation] and others are ways
	// that registries have.
	Location func(host, path string) string
	// UploadStatus answers uploads and manifests that are complete. Zero means
	// 201.
	UploadStatus int
	// ChunkMinLength is a registry that wants uploads in chunks: it says so in
	// OCI-Chunk-Min-Length, and takes no less but for the last one, and no more
	// at the end. Zero means that it takes uploads in any way.
	ChunkMinLength int64

	mu           sync.Mutex
	repositories map[string]*repository
	uploads      map[string][]byte
	faults       []*fault
	log          []Request
}

// repository is one name in a registry.
type repository struct {
	manifests map[digest.Digest]manifest
	tags      map[string]digest.Digest
	blobs     map[digest.Digest][]byte
}

type manifest struct {
	mediaType string
	bytes     []byte
}

// Request is an entry of the log.
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

// Start serves a registry over http until the test ends, and returns its host.
func (r *Registry) Start(t testing.TB) (host string) {
	t.Helper()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// StartTLS serves a registry over https, with a certificate for tests; the
// server's Certificate method returns it.
func (r *Registry) StartTLS(t testing.TB) *httptest.Server {
	t.Helper()
	server := httptest.NewTLSServer(r)
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

// Manifest returns what a tag or a digest stands for; its bytes are nil when
// there is no such thing.
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

// Delete forgets a repository, as its owner may.
func (r *Registry) Delete(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.repositories, name)
}
