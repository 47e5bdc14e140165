// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// paths matches the paths of the distribution specification. It accepts a prefix
// before /v2, like a mirror below a path.
var paths = regexp.MustCompile(`^.*?/v2/(.*)/(manifests|blobs/uploads|blobs)/([^/]*)$`)

// ServeHTTP answers as a registry, or as an injected fault.
func (r *Registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	r.log = append(r.log, Request{request.Method, request.URL.Path, request.URL.RawQuery, request.Header.Clone()})
	handler := r.faultyLocked(request, http.HandlerFunc(r.serve))
	r.mu.Unlock()
	handler.ServeHTTP(w, request)
}

func (r *Registry) serve(w http.ResponseWriter, request *http.Request) {
	if r.Auth != nil && request.URL.Path == tokenPath {
		r.Auth.serveToken(w, request)
		return
	}
	parts := paths.FindStringSubmatch(request.URL.Path)
	if parts == nil {
		http.NotFound(w, request)
		return
	}
	name, kind, reference := parts[1], parts[2], parts[3]
	if r.Auth != nil && !r.Auth.allows(w, request, name) {
		return
	}
	switch kind {
	case "manifests":
		r.serveManifest(w, request, name, reference)
	case "blobs":
		r.serveBlob(w, request, name, digest.Digest(reference))
	default:
		r.serveUpload(w, request, name, reference)
	}
}

func (r *Registry) serveManifest(w http.ResponseWriter, request *http.Request, name, reference string) {
	if request.Method == http.MethodPut {
		data, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		tag := reference
		if strings.Contains(reference, ":") {
			tag = ""
		}
		r.created(w, r.PutManifest(name, tag, request.Header.Get("Content-Type"), data))
		return
	}
	r.mu.Lock()
	m, id := r.manifestLocked(name, reference)
	r.mu.Unlock()
	if m.bytes == nil {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	w.Header().Set("Content-Type", m.mediaType)
	w.Header().Set("Docker-Content-Digest", id.String())
	http.ServeContent(w, request, "", time.Time{}, bytes.NewReader(m.bytes))
}

func (r *Registry) serveBlob(w http.ResponseWriter, request *http.Request, name string, id digest.Digest) {
	r.mu.Lock()
	data, ok := r.repositoryLocked(name).blobs[id]
	r.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", id.String())
	http.ServeContent(w, request, "", time.Time{}, bytes.NewReader(data))
}

// refuse answers with an error in the form of the distribution specification:
// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#error-codes
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}
