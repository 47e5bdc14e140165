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

// inspector is an authorization plugin that allows all, and keeps what it saw.
type inspector struct{ seen []byte }

func (*inspector) Name() string { return "inspector" }

func (i *inspector) AuthZRequest(r *authorization.Request) (*authorization.Response, error) {
	i.seen = r.RequestBody
	return &authorization.Response{Allow: true}, nil
}

func (*inspector) AuthZResponse(*authorization.Request) (*authorization.Response, error) {
	return &authorization.Response{Allow: true}, nil
}

// Docker's authorization middleware of version 28 shows plugins no body of 1 MiB
// or more, and lets it pass (CVE-2026-34040). Here such a body reaches no
// backend: what an authorization plugin has not seen is refused.
func TestNoBodyPassesAuthorizationUnseen(t *testing.T) {
	for _, size := range []int{10, maxBody - 1, maxBody, maxBody + 1, maxBody + 2, 2 * maxBody} {
		for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "text/plain", ""} {
			for _, chunked := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d bytes, %q, chunked %v", size, contentType, chunked), func(t *testing.T) {
					body := `["` + strings.Repeat("x", size-4) + `"]`
					request := httptest.NewRequest("POST", "/plugins/foo/set", strings.NewReader(body))
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
