// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// TestValuesAreBounded sends requests with many headers and with long queries. A handler
// that gets such a request would hold it as long as it streams.
func TestValuesAreBounded(t *testing.T) {
	handler := NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })).Handler
	for _, tc := range []struct {
		name, query string
		headers     int
		want        int
	}{
		{"an ordinary request", "filters=%7B%22driver%22%3A%7B%22a%22%3Atrue%2C%22b%22%3Atrue%7D%7D&all=1", 20, http.StatusNoContent},
		{"most headers", "", maxValues, http.StatusNoContent},
		{"too many headers", "", maxValues + 1, http.StatusRequestHeaderFieldsTooLarge},
		{"most parameters", strings.Repeat("a&", maxValues), 0, http.StatusNoContent},
		{"too many parameters", strings.Repeat("a&", maxValues+1), 0, http.StatusRequestURITooLong},
		{"too long a list", "filters=[0" + strings.Repeat(",0", maxValues+1) + "]", 0, http.StatusRequestURITooLong},
		{"too long a list, escaped", "filters=[0" + strings.Repeat("%2c0%2C0", maxValues/2+1) + "]", 0, http.StatusRequestURITooLong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			request := httptest.NewRequest(http.MethodGet, "/events?"+tc.query, http.NoBody)
			for i := range tc.headers {
				request.Header.Add(fmt.Sprintf("X-%d", i/2), "")
			}
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			assert.Check(t, is.Equal(answer.Code, tc.want))
		})
	}
}
