// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// RelativeLocation returns a location relative to the request's path.
func RelativeLocation(_, at string) string { return path.Base(at) }

// AbsoluteLocation returns a location as a complete URL.
func AbsoluteLocation(host, at string) string { return "http://" + host + at }

// SchemelessLocation returns a location as a URL without a scheme.
func SchemelessLocation(host, at string) string { return "//" + host + at }

// QueryLocation returns a location with a query. The client must keep its order and
// its escapes.
func QueryLocation(_, at string) string { return at + "?_state=b%2Ba&a=%7e&empty" }

func (r *Registry) serveUpload(w http.ResponseWriter, request *http.Request, name, upload string) {
	switch request.Method {
	case http.MethodPost:
		r.beginUpload(w, request, name)
	case http.MethodPatch:
		r.continueUpload(w, request, name, upload)
	case http.MethodPut:
		r.finishUpload(w, request, name, upload)
	default:
		http.Error(w, "", http.StatusMethodNotAllowed)
	}
}

func (r *Registry) beginUpload(w http.ResponseWriter, request *http.Request, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := digest.Digest(request.URL.Query().Get("mount"))
	if data, ok := r.repositoryLocked(request.URL.Query().Get("from")).blobs[id]; ok && !r.NoMounts {
		r.repositoryLocked(name).blobs[id] = data
		created(w, id, http.StatusCreated)
		return
	}
	upload := rand.Text()
	r.uploads[upload] = nil
	r.accept(w, request, name, upload)
}

// accept answers that an upload was accepted and continues.
func (r *Registry) accept(w http.ResponseWriter, request *http.Request, name, upload string) {
	location := fmt.Sprintf("/v2/%s/blobs/uploads/%s", name, upload)
	if r.Location != nil {
		location = r.Location(request.Host, location)
	}
	if r.ChunkMinLength > 0 {
		w.Header().Set("OCI-Chunk-Min-Length", fmt.Sprint(r.ChunkMinLength))
	}
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusAccepted)
}

func (r *Registry) continueUpload(w http.ResponseWriter, request *http.Request, name, upload string) {
	data, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	held, known := r.uploads[upload]
	begin := len(held)
	switch {
	case !known:
		refuseUnknown(w)
		return
	case request.Header.Get("Content-Range") != fmt.Sprintf("%d-%d", begin, begin+len(data)-1) && request.Header.Get("Content-Range") != "":
		refuse(w, http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", "chunk is out of order")
		return
	case r.ChunkMinLength > 0 && int64(begin)%r.ChunkMinLength != 0:
		refuse(w, http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", "the chunk before was too small")
		return
	}
	r.uploads[upload] = append(held, data...)
	w.Header().Set("Range", fmt.Sprintf("0-%d", begin+len(data)-1))
	r.accept(w, request, name, upload)
}

func (r *Registry) finishUpload(w http.ResponseWriter, request *http.Request, name, upload string) {
	data, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	held, known := r.uploads[upload]
	all := slices.Concat(held, data)
	delete(r.uploads, upload)
	r.mu.Unlock()
	switch {
	case !known:
		refuseUnknown(w)
	case r.ChunkMinLength > 0 && len(data) > 0:
		refuse(w, http.StatusRequestEntityTooLarge, "SIZE_INVALID", "uploads are taken in chunks")
	case digest.FromBytes(all) != digest.Digest(request.URL.Query().Get("digest")):
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "provided digest did not match uploaded content")
	case r.Location != nil && lacks(request.URL.RawQuery, r.Location(request.Host, request.URL.Path)):
		refuse(w, http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "location differs from the returned location")
	default:
		r.created(w, r.PutBlob(name, all))
	}
}

// lacks reports whether a query does not contain the unchanged query of a location.
func lacks(query, location string) bool {
	_, want, _ := strings.Cut(location, "?")
	return !strings.HasPrefix(query, want)
}

// created answers that an upload or a manifest is complete.
func (r *Registry) created(w http.ResponseWriter, id digest.Digest) {
	status := r.UploadStatus
	if status == 0 {
		status = http.StatusCreated
	}
	created(w, id, status)
}

func created(w http.ResponseWriter, id digest.Digest, status int) {
	w.Header().Set("Docker-Content-Digest", id.String())
	w.WriteHeader(status)
}

func refuseUnknown(w http.ResponseWriter) {
	refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "upload is not known")
}
