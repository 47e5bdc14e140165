// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	registrytypes "github.com/docker/docker/api/types/registry"
	"gotest.tools/v3/assert"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// TestLongSecretsAreNotShown repeats secrets where texts are cut: longer than the
// shown part, and across its end.
func TestLongSecretsAreNotShown(t *testing.T) {
	const edge = maxMessageBytes - len("DENIED ")
	long := strings.Repeat("SECRET-", 300)
	accounts := map[string]*registrytypes.AuthConfig{
		"long":        {RegistryToken: long},
		"short":       {RegistryToken: "SECRET-SECRET"},
		"with quotes": {Username: "user", Password: "SECRET-\"\\\u200b-SECRET"},
	}
	places := map[string]fake.Fault{}
	add := func(name string, write func(w http.ResponseWriter, secret, before string)) {
		for _, before := range []int{0, edge - 6, 2 * maxMessageBytes} {
			places[fmt.Sprint(name, " after ", before)] = answer(func(w http.ResponseWriter, r *http.Request) {
				_, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
				if _, password, ok := r.BasicAuth(); ok {
					secret = password
				}
				if secret == "" {
					w.Header().Set("WWW-Authenticate", "Basic")
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				write(w, secret, strings.Repeat("x", before))
			})
		}
	}
	quoted := func(text string) string {
		data, _ := json.Marshal(text)
		return string(data)
	}
	add("reason", func(w http.ResponseWriter, secret, before string) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":%s}]}`, quoted(before+secret))
	})
	add("type", func(w http.ResponseWriter, secret, before string) {
		_, _ = fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":%s}`, quoted(before+secret))
	})
	add("other type", func(w http.ResponseWriter, secret, before string) {
		w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
		_, _ = fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":%s}`, quoted(before+secret))
	})
	add("platform", func(w http.ResponseWriter, secret, before string) {
		_, _ = fmt.Fprintf(w, `{"schemaVersion":2,"manifests":[{"platform":{"os":"x","architecture":%s}},{"platform":{"os":"y"}}]}`, quoted(before+secret))
	})
	add("encoding", func(w http.ResponseWriter, secret, before string) {
		w.Header().Set("Content-Encoding", before+secret)
	})
	add("host", func(w http.ResponseWriter, secret, before string) {
		w.Header().Set("Location", "http://"+before+url.PathEscape(secret)+":1/")
		w.WriteHeader(http.StatusFound)
	})
	for name, fault := range places {
		for kind, account := range accounts {
			t.Run(name+", "+kind, func(t *testing.T) {
				b := newBench(t)
				dialer := net.Dialer{}
				b.options.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					if address != b.host {
						return nil, fmt.Errorf("no route to %s", address)
					}
					return dialer.DialContext(ctx, network, address)
				}
				b.options.RetryWait = time.Microsecond
				b.Inject("HEAD", "/manifests/", 0, fake.NoHead)
				b.Inject("GET", "/manifests/", 0, fault)
				request := b.request(t)
				request.Auth = account
				_, err := b.pull(t.Context(), request)
				assert.Assert(t, err != nil)
				assert.Check(t, len(err.Error()) < 4*maxMessageBytes)
				for ; err != nil; err = errors.Unwrap(err) {
					assert.Check(t, !strings.Contains(err.Error(), "SECRE"), "%v", err)
				}
			})
		}
	}
}
