// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/docker/docker/pkg/authorization"
	"gotest.tools/v3/assert"
)

// inspector is an authorization plugin that allows everything and keeps what it
// saw.
type inspector struct{ seen []byte }

func (*inspector) Name() string { return "inspector" }

func (i *inspector) AuthZRequest(r *authorization.Request) (*authorization.Response, error) {
	i.seen = r.RequestBody
	return &authorization.Response{Allow: true}, nil
}

func (*inspector) AuthZResponse(*authorization.Request) (*authorization.Response, error) {
	return &authorization.Response{Allow: true}, nil
}

// Docker's authorization middleware of version 28 shows plugins no body of 1
// MiB or more, and lets it pass
// (https://github.com/moby/moby/security/advisories/GHSA-x744-4wpc-v9h2). Here
// such a body is refused and reaches no backend.
func TestNoBodyPassesAuthorizationUnseen(t *testing.T) {
	for _, size := range []int{10, maxBody - 1, maxBody, maxBody + 1, maxBody + 2, 2 * maxBody} {
		for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "text/plain", ""} {
			for _, chunked := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d bytes, %q, chunked %v", size, contentType, chunked), func(t *testing.T) {
					body := `["` + strings.Repeat("x", size-4) + `"]`
					request := httptest.NewRequest(http.MethodPost, "/plugins/foo/set", strings.NewReader(body))
					request.Header.Set("Content-Type", contentType)
					if chunked {
						request.ContentLength, request.TransferEncoding = -1, []string{"chunked"}
					}
					plugin, backend, answer := &inspector{}, &recorder{}, httptest.NewRecorder()
					ctx := authorization.NewCtx([]authorization.Plugin{plugin}, "user", "", request.Method, request.RequestURI)
					assert.NilError(t, ctx.AuthZRequest(answer, request))
					NewHandler(backend).ServeHTTP(answer, request)

					passed := answer.Code == http.StatusNoContent
					assert.Assert(t, !passed || string(plugin.seen) == body, "passed unseen")
					if contentType == "application/json" {
						assert.Equal(t, passed, size <= maxBody)
					}
				})
			}
		}
	}
}
