// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/registry"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/class"
)

const (
	digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	id     = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// serve sends one request to a handler of backend.
func serve(t testing.TB, backend Backend, method, target, body string, headers ...string) *http.Response {
	t.Helper()
	request := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer := httptest.NewRecorder()
	NewHandler(backend).ServeHTTP(answer, request)
	return answer.Result()
}

func bodyOf(t testing.TB, answer *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(answer.Body)
	assert.NilError(t, err)
	assert.NilError(t, answer.Body.Close())
	return strings.TrimSpace(string(body))
}

func TestRequestsReachTheBackend(t *testing.T) {
	for _, tc := range []struct {
		name   string
		method string
		target string
		body   string
		call   string
		status int
		answer string
	}{
		{"list", "GET", "/plugins", "", `list {}`, 200, `[]`},
		{"list of a version", "GET", "/v1.24/plugins", "", `list {}`, 200, `[]`},
		{"list filtered", "GET", `/v1.51/plugins?filters={"enabled":{"true":true}}`, "", `list {"enabled":{"true":true}}`, 200, `[]`},
		{"list filtered as old clients do", "GET", `/plugins?filters={"enabled":["true"]}`, "", `list {"enabled":{"true":true}}`, 200, `[]`},
		{"list with an invalid filter", "GET", `/plugins?filters=x`, "", ``, 400, `{"message":"invalid filter"}`},
		{"inspect", "GET", "/plugins/foo/json", "", `inspect foo`, 200, `{"Config":{"Args":{"Description":"","Name":"","Settable":null,"Value":null},"Description":"","Documentation":"","Entrypoint":null,"Env":null,"Interface":{"Socket":"","Types":null},"IpcHost":false,"Linux":{"AllowAllDevices":false,"Capabilities":null,"Devices":null},"Mounts":null,"Network":{"Type":""},"PidHost":false,"PropagatedMount":"","User":{},"WorkDir":""},"Enabled":false,"Id":"1234","Name":"foo","Settings":{"Args":null,"Devices":null,"Env":null,"Mounts":null}}`},
		{"enable", "POST", "/plugins/foo/enable", "", `enable foo timeout=0`, 200, ``},
		{"enable with a timeout", "POST", "/plugins/foo/enable?timeout=30", "", `enable foo timeout=30`, 200, ``},
		{"enable with an invalid timeout", "POST", "/plugins/foo/enable?timeout=soon", "", ``, 400, `{"message":"read timeout \"soon\": not a number of seconds"}`},
		{"enable with a negative timeout", "POST", "/plugins/foo/enable?timeout=-1", "", ``, 400, `{"message":"negative timeout -1 is invalid"}`},
		{"enable below a host", "POST", "/v1.30/plugins/registry.example:5000/a/b:v1/enable", "", `enable registry.example:5000/a/b:v1 timeout=0`, 200, ``},
		{"enable a plugin called enable", "POST", "/plugins/enable/enable", "", `enable enable timeout=0`, 200, ``},
		{"disable", "POST", "/plugins/foo/disable", "", `disable foo force=false`, 200, ``},
		{"disable by force", "POST", "/plugins/foo/disable?force=1", "", `disable foo force=true`, 200, ``},
		{"remove", "DELETE", "/plugins/foo/bar:v1", "", `remove foo/bar:v1 force=false`, 200, ``},
		{"remove by force", "DELETE", "/plugins/foo?force=true", "", `remove foo force=true`, 200, ``},
		{"remove without force", "DELETE", "/plugins/foo?force=0", "", `remove foo force=false`, 200, ``},
		{"set", "POST", "/plugins/foo/set", `["DEBUG=1","args=a b"]`, `set foo ["DEBUG=1" "args=a b"]`, 204, ``},
		{"set nothing", "POST", "/plugins/foo/set", ``, `set foo []`, 204, ``},
		{"set invalid JSON", "POST", "/plugins/foo/set", `DEBUG=1`, ``, 400, `{"message":"invalid JSON: invalid character 'D' looking for beginning of value"}`},
		{"set a number", "POST", "/plugins/foo/set", `1`, ``, 400, `{"message":"invalid JSON: json: cannot unmarshal number into Go value of type []string"}`},
		{"set more than a body holds", "POST", "/plugins/foo/set", `["` + strings.Repeat("x", maxBody) + `"]`, ``, 400, `{"message":"read request: its body has more than 1048575 bytes"}`},
		{"set more values than a body holds", "POST", "/plugins/foo/set", `[""` + strings.Repeat(`,""`, maxBodyItems+1) + `]`, ``, 400, `{"message":"read request: its body has more than 65536 values"}`},
		{"privileges", "GET", "/plugins/privileges?remote=foo", "", `privileges docker.io/library/foo:latest by= meta={}`, 200, `[]`},
		{"privileges of nothing", "GET", "/plugins/privileges", "", ``, 400, `{"message":"parse remote \"\": invalid reference format"}`},
		{"pull", "POST", "/plugins/pull?remote=foo", `[{"Name":"network","Value":["host"]}]`, `pull docker.io/library/foo:latest as foo:latest by= meta={} granted=network`, 204, ``},
		{"pull under another name", "POST", "/plugins/pull?remote=a.example/foo:v1&name=bar", `[]`, `pull a.example/foo:v1 as bar:latest by= meta={} granted=`, 204, ``},
		{"pull by digest", "POST", "/plugins/pull?remote=a.example/foo@" + digest, `[]`, `pull a.example/foo@` + digest + ` as a.example/foo:latest by= meta={} granted=`, 204, ``},
		{"pull as a digest", "POST", "/plugins/pull?remote=foo&name=bar@" + digest, `[]`, ``, 400, `{"message":"name \"bar@` + digest + `\": cannot use digest in plugin tag"}`},
		{"pull an invalid name", "POST", "/plugins/pull?remote=FOO", `[]`, ``, 400, `{"message":"parse remote \"FOO\": invalid reference format: repository name (library/FOO) must be lowercase"}`},
		{"pull with invalid grants", "POST", "/plugins/pull?remote=foo", `{}`, ``, 400, `{"message":"invalid JSON: json: cannot unmarshal object into Go value of type types.PluginPrivileges"}`},
		{"upgrade", "POST", "/plugins/bar:v1/upgrade?remote=foo:v2", `[{"Name":"mount"}]`, `upgrade bar:v1 to docker.io/library/foo:v2 by= meta={} granted=mount`, 204, ``},
		{"upgrade that drops settings", "POST", "/plugins/bar:v1/upgrade?remote=foo:v2&dropLostSettings=1", `[]`, `upgrade bar:v1 to docker.io/library/foo:v2 by= meta={} granted= dropping`, 204, ``},
		{"upgrade by id", "POST", "/plugins/" + id + "/upgrade?remote=foo:v2", `[]`, `upgrade ` + id + ` to docker.io/library/foo:v2 by= meta={} granted=`, 204, ``},
		{"upgrade by digest", "POST", "/plugins/bar/upgrade?remote=foo:v2@" + digest, `[]`, `upgrade bar to docker.io/library/foo@` + digest + ` by= meta={} granted=`, 204, ``},
		{"upgrade a digest", "POST", "/plugins/bar@" + digest + "/upgrade?remote=foo:v2", `[]`, ``, 400, `{"message":"name \"bar@` + digest + `\": cannot use digest in plugin tag"}`},
		{"upgrade to nothing", "POST", "/plugins/bar/upgrade", `[]`, ``, 400, `{"message":"parse remote \"\": invalid reference format"}`},
		{"upgrade with invalid grants", "POST", "/plugins/bar/upgrade?remote=foo", `{`, ``, 400, `{"message":"invalid JSON: unexpected EOF"}`},
		{"push", "POST", "/plugins/foo/push", "", `push foo by= meta={}`, 200, ``},
	} {
		t.Run(tc.name, func(t *testing.T) {
			backend := &recorder{}
			answer := serve(t, backend, tc.method, tc.target, tc.body)
			assert.Check(t, is.Equal(bodyOf(t, answer), tc.answer))
			assert.Check(t, is.Equal(answer.StatusCode, tc.status))
			assert.Check(t, is.Equal(strings.Join(backend.recorded(), "\n"), tc.call))
		})
	}
}

func TestCreateReadsTheBodyWhole(t *testing.T) {
	backend := &recorder{}
	answer := serve(t, backend, "POST", "/plugins/create?name=foo:v1", strings.Repeat("x", maxBody+1), "Content-Type", "application/x-tar")
	assert.Equal(t, bodyOf(t, answer), "")
	assert.Equal(t, answer.StatusCode, http.StatusNoContent)
	assert.DeepEqual(t, backend.recorded(), []string{fmt.Sprintf("create foo:v1 from %d bytes", maxBody+1)})
}

func TestAnswersCarryWhatTheBackendHas(t *testing.T) {
	backend := &recorder{
		plugins:    []types.Plugin{{Name: "foo:latest"}, {Name: "bar:latest"}},
		privileges: types.PluginPrivileges{{Name: "network", Description: "d", Value: []string{"host"}}},
	}
	list := bodyOf(t, serve(t, backend, "GET", "/plugins", ""))
	assert.Check(t, is.Contains(list, `"Name":"foo:latest"`))
	assert.Check(t, is.Contains(list, `"Name":"bar:latest"`))

	asked := bodyOf(t, serve(t, backend, "GET", "/plugins/privileges?remote=foo", ""))
	assert.Equal(t, asked, `[{"Name":"network","Description":"d","Value":["host"]}]`)
}

func TestErrorsAnswerByClass(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    error
		status int
	}{
		{"not found", class.NotFound(errors.New("nothing here")), 404},
		{"conflict", class.Conflict(errors.New("plugin is in use")), 409},
		{"not implemented", class.NotImplemented(errors.New("not on this system")), 501},
		{"unavailable", class.Unavailable(errors.New("shutting down")), 503},
		{"invalid parameter", class.InvalidParameter(errors.New("no such setting")), 400},
		{"no class", errors.New("disk on fire"), 500},
	} {
		for _, verb := range [][2]string{
			{"GET", "/plugins"},
			{"GET", "/plugins/foo/json"},
			{"GET", "/plugins/privileges?remote=foo"},
			{"POST", "/plugins/create?name=foo"},
			{"POST", "/plugins/pull?remote=foo"},
			{"POST", "/plugins/foo/enable"},
			{"POST", "/plugins/foo/disable"},
			{"POST", "/plugins/foo/set"},
			{"POST", "/plugins/foo/upgrade?remote=foo"},
			{"POST", "/plugins/foo/push"},
			{"DELETE", "/plugins/foo"},
		} {
			t.Run(tc.name+" from "+verb[0]+verb[1], func(t *testing.T) {
				answer := serve(t, &recorder{err: tc.err}, verb[0], verb[1], "")
				assert.Check(t, is.Equal(answer.StatusCode, tc.status))
				assert.Check(t, is.Equal(answer.Header.Get("Content-Type"), "application/json"))
				assert.Check(t, is.Equal(bodyOf(t, answer), `{"message":"`+tc.err.Error()+`"}`))
			})
		}
	}
}

func TestOnlyMetaHeadersGoToTheRegistry(t *testing.T) {
	auth, err := registry.EncodeAuthConfig(registry.AuthConfig{Username: "ann", Password: "secret"})
	assert.NilError(t, err)
	headers := []string{
		"X-Meta-Trace", "7", "x-meta-lower", "8",
		"Cookie", "a=b", "Authorization", "Basic eA==", "X-Metadata", "no",
		registry.AuthHeader, auth,
	}
	const sent = `by=ann meta={"X-Meta-Lower":["8"],"X-Meta-Trace":["7"]}`
	for _, tc := range []struct{ method, target, call string }{
		{"GET", "/plugins/privileges?remote=foo", "privileges docker.io/library/foo:latest " + sent},
		{"POST", "/plugins/pull?remote=foo", "pull docker.io/library/foo:latest as foo:latest " + sent + " granted="},
		{"POST", "/plugins/foo/upgrade?remote=foo", "upgrade foo to docker.io/library/foo:latest " + sent + " granted="},
		{"POST", "/plugins/foo/push", "push foo " + sent},
	} {
		t.Run(tc.target, func(t *testing.T) {
			backend := &recorder{}
			answer := serve(t, backend, tc.method, tc.target, "", headers...)
			assert.Assert(t, answer.StatusCode < 300, "status %d", answer.StatusCode)
			assert.DeepEqual(t, backend.recorded(), []string{tc.call})
		})
	}
}

func TestUnreadableCredentialsAreNone(t *testing.T) {
	backend := &recorder{}
	answer := serve(t, backend, "POST", "/plugins/foo/push", "", registry.AuthHeader, "!not base64!")
	assert.Equal(t, answer.StatusCode, http.StatusOK)
	assert.DeepEqual(t, backend.recorded(), []string{"push foo by= meta={}"})
}

func TestBadFormsAreInvalid(t *testing.T) {
	for _, verb := range [][2]string{
		{"GET", "/plugins?a=%zz"},
		{"GET", "/plugins/privileges?a=%zz"},
		{"POST", "/plugins/pull?a=%zz"},
		{"POST", "/plugins/foo/enable?a=%zz"},
		{"POST", "/plugins/foo/disable?a=%zz"},
		{"POST", "/plugins/foo/upgrade?a=%zz"},
		{"DELETE", "/plugins/foo?a=%zz"},
	} {
		t.Run(verb[0]+verb[1], func(t *testing.T) {
			backend := &recorder{}
			answer := serve(t, backend, verb[0], verb[1], "")
			assert.Equal(t, answer.StatusCode, http.StatusBadRequest)
			assert.Equal(t, bodyOf(t, answer), `{"message":"invalid URL escape \"%zz\""}`)
			assert.Equal(t, len(backend.recorded()), 0)
		})
	}
}
