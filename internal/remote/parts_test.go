// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"gotest.tools/v3/assert"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// A server that ends each answer after a part is asked as often as it takes.
func TestManyParts(t *testing.T) {
	b := newBench(t)
	plain := strings.Repeat("x", 8<<20)
	b.layers = []string{plain}
	b.packed = [][]byte{pack(t, plain)}
	b.target = b.PutPlugin(repository, "latest", []byte(config), b.packed...)
	b.options.RetryWait = time.Microsecond
	b.Inject(http.MethodGet, "/blobs/", 0, fake.Cut(64<<10))
	b.mustPull(t)
	assert.Check(t, len(b.asked(blobPath(b.packed[0]))) > 120)
}

// TestSlowParts plays, in virtual time, a server whose answers are ended before
// the least rate counts in them. It counts from one answer to the next.
func TestSlowParts(t *testing.T) {
	b := newBench(t)
	blob, asked := b.packed[0], 0
	synctest.Test(t, func(t *testing.T) {
		w := newWeb(t, func(w http.ResponseWriter, r *http.Request, _ origin) {
			if !strings.Contains(r.URL.Path, blobPath(blob)) {
				b.Registry.ServeHTTP(w, r)
				return
			}
			asked++
			time.Sleep(59 * time.Second)
			offset := 0
			if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &offset); err == nil {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", offset, len(blob)-1, len(blob)))
				w.WriteHeader(http.StatusPartialContent)
			}
			_, _ = w.Write(blob[offset:min(offset+31*1024, len(blob))])
			_ = http.NewResponseController(w).Flush()
			time.Sleep(58 * time.Second)
			panic(http.ErrAbortHandler)
		}, "http://registry.test:80")
		synctest.Wait()
		b.options.Dial, b.options.IdleTimeout = w.Dial, time.Minute
		b.options.Endpoints = endpoints{endpointAt(t, "http://registry.test")}
		request := b.request(t)
		request.Reference = named(t, "registry.test/"+repository)
		_, err := b.pull(t.Context(), request)
		assert.Check(t, errdefs.IsUnavailable(err), "%v", err)
		assert.Equal(t, asked, maxRetries+1)
	})
}
