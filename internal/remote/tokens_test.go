// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// TestTokensTakeLittleMemory pulls from a registry that cuts answers, gives long
// tokens for one use, and asks for another scope each time.
func TestTokensTakeLittleMemory(t *testing.T) {
	for _, scope := range []string{"", `,scope="repository:%d:pull"`} {
		b := newBench(t)
		b.target = b.PutPlugin(repository, "latest", []byte(`{"description":"`+strings.Repeat("x", 1<<20-100)+`"}`), b.packed...)
		var mu sync.Mutex
		given, used := 0, map[string]bool{}
		b.Inject("", "/token", 0, answer(func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			given++
			_, _ = fmt.Fprintf(w, `{"token":"%d-%s"}`, given, strings.Repeat("x", 50<<10))
		}))
		b.Inject("", "/v2/", 0, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				name, _, _ := strings.Cut(r.Header.Get("Authorization"), "-")
				refused := name == "" || used[name]
				used[name] = true
				challenge := fmt.Sprintf(`Bearer realm="http://%s/token"`, b.host)
				if scope != "" {
					challenge += fmt.Sprintf(scope, given)
				}
				mu.Unlock()
				if refused {
					w.Header().Set("WWW-Authenticate", challenge)
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				fake.Cut(31<<10)(next).ServeHTTP(w, r)
			})
		})
		p, err := New(b.options).Resolve(t.Context(), b.request(t))
		assert.NilError(t, err)
		defer p.Close()
		kept := len(p.session.endpoints[0].auth.tokens.all)
		assert.Check(t, given > 30, "only %d tokens were asked for", given)
		assert.Check(t, kept <= maxTokens, "%d tokens are kept for use", kept)
		kept = len(p.session.tokens.list())
		assert.Check(t, kept > 0 && kept <= maxTokens, "%d tokens are kept for errors", kept)
	}
}

// TestTokenThatIsTooLong refuses a token above the limit of headers before it is
// sent.
func TestTokenThatIsTooLong(t *testing.T) {
	for _, test := range []struct {
		length  int
		refused bool
	}{{maxTokenBytes, false}, {maxTokenBytes + 1, true}} {
		_, err := parseToken("host", fmt.Appendf(nil, `{"token":%q}`, strings.Repeat("x", test.length)))
		_, refused := find[*ProtocolError](err)
		assert.Equal(t, refused, test.refused, "%v", err)
	}
}

func TestTokenCache(t *testing.T) {
	var c tokenCache
	for i := range 2 * maxTokens {
		c.put(fmt.Sprint("scope", i), token{value: fmt.Sprint(i)})
	}
	assert.Equal(t, len(c.all), maxTokens)
	_, ok := c.get("scope0")
	assert.Check(t, !ok, "the oldest token is kept")
	last := fmt.Sprint("scope", 2*maxTokens-1)
	got, ok := c.get(last)
	assert.Check(t, ok && got.value == fmt.Sprint(2*maxTokens-1))
	c.put(last, token{value: "new"})
	c.drop(last, got)
	got, ok = c.get(last)
	assert.Check(t, ok && got.value == "new", "a token that another request has replaced is dropped")
	c.drop(last, got)
	_, ok = c.get(last)
	assert.Check(t, !ok)
	assert.Equal(t, len(c.all), maxTokens-1)
}

// TestRecentTokens keeps a token in use, however many others are received.
func TestRecentTokens(t *testing.T) {
	var r recentTokens
	r.note("")
	assert.Equal(t, len(r.list()), 0)
	for i := range 10 * maxTokens {
		r.note("used")
		r.note(fmt.Sprint(i))
	}
	assert.Equal(t, len(r.list()), maxTokens)
	assert.Check(t, is.Contains(r.list(), "used"))
}
