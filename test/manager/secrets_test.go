// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/log"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/events"
	registrytypes "github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/registry"
	"github.com/sirupsen/logrus"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testworld"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// Every secret contains secretMark, or is an encoding of it.
const secretMark = "s3cret"

// recorder collects everything that a manager outputs: log entries, errors, events
// and progress.
type recorder struct {
	mu      sync.Mutex
	entries []string
}

func (r *recorder) record(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, fmt.Sprintf(format, args...))
}

// Levels makes the recorder a hook of the log, at every level.
func (r *recorder) Levels() []logrus.Level { return logrus.AllLevels }

// Fire records an entry with all its fields.
func (r *recorder) Fire(entry *logrus.Entry) error {
	r.record("log %s: %s %+v", entry.Level, entry.Message, entry.Data)
	return nil
}

// recordError records an error, and the errors that it wraps, in every format.
func (r *recorder) recordError(err error) {
	if err == nil {
		return
	}
	r.record("error: %v %+v %#v %q", err, err, err, err)
	switch wrapper := err.(type) { //nolint:errorlint // each layer is looked at by itself
	case interface{ Unwrap() error }:
		r.recordError(wrapper.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range wrapper.Unwrap() {
			r.recordError(inner)
		}
	}
}

// recordLog records the standard log, down to its lowest level, until the test
// ends.
func (r *recorder) recordLog(t *testing.T) {
	logger := logrus.StandardLogger()
	level, hooks := log.GetLevel(), logger.ReplaceHooks(logrus.LevelHooks{})
	logger.AddHook(r)
	logger.SetLevel(logrus.TraceLevel)
	t.Cleanup(func() {
		logger.SetLevel(level)
		logger.ReplaceHooks(hooks)
	})
}

func (r *recorder) check(t *testing.T, secrets ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	assert.Assert(t, len(r.entries) > 0)
	for _, said := range r.entries {
		for _, secret := range secrets {
			assert.Check(t, !strings.Contains(said, secret), "%s", said)
		}
	}
}

// echo repeats the credentials of a request in its answer, as some servers do.
func echo(status int, form string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		user, password, _ := r.BasicAuth()
		credentials := fmt.Sprint(user, password, r.Header.Get("Authorization"), r.Form)
		w.WriteHeader(status)
		fmt.Fprintf(w, form, credentials)
	})
}

// bareEndpoints returns a URL with an account in it, as in careless configurations.
type bareEndpoints struct{}

func (bareEndpoints) LookupPullEndpoints(host string) ([]registry.APIEndpoint, error) {
	user := url.UserPassword("user", secretMark+"-userinfo")
	return []registry.APIEndpoint{{URL: &url.URL{Scheme: "http", Host: host, User: user}}}, nil
}

// TestSecretsStaySecret runs every verb that uses a registry, with every kind of
// account, against servers that accept or refuse it. No output has a secret.
func TestSecretsStaySecret(t *testing.T) {
	const password, identity = secretMark + "-password", secretMark + "-identity"
	encoded := base64.StdEncoding.EncodeToString([]byte("user:" + password))
	// The fake registry's tokens are lists of scopes. It ignores the rest.
	token := "repository:group/plugin:pull,push " + secretMark + "-token"
	accounts := map[string]*registrytypes.AuthConfig{
		"password":       {Username: "user", Password: password},
		"encoded":        {Auth: encoded},
		"identity token": {IdentityToken: identity},
		"registry token": {RegistryToken: token},
	}
	servers := map[string]func(t *testing.T, r *fake.Registry){
		"basic": func(_ *testing.T, r *fake.Registry) {
			r.Auth = &fake.Auth{Basic: true, User: "user", Password: password}
		},
		"tokens": func(_ *testing.T, r *fake.Registry) {
			r.Auth = &fake.Auth{User: "user", Password: password, IdentityToken: identity}
		},
		"others": func(_ *testing.T, r *fake.Registry) {
			r.Auth = &fake.Auth{User: "somebody", Password: "else"}
		},
		"token server echoes": func(t *testing.T, r *fake.Registry) {
			r.Auth = &fake.Auth{User: "user", Password: password, Realm: serve(t, echo(http.StatusUnauthorized, `{"errors":[{"code":"WRONG","message":%q}]}`))}
		},
		"token server echoes as text": func(t *testing.T, r *fake.Registry) {
			r.Auth = &fake.Auth{User: "user", Password: password, Realm: serve(t, echo(http.StatusBadRequest, "refused: %s"))}
		},
		"registry echoes": func(_ *testing.T, r *fake.Registry) {
			r.Inject("", "/v2/", 0, func(http.Handler) http.Handler {
				refuse := echo(http.StatusForbidden, `{"errors":[{"code":"DENIED","message":%q}]}`)
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Authorization") == "" {
						w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
						w.WriteHeader(http.StatusUnauthorized)
						return
					}
					refuse.ServeHTTP(w, r)
				})
			})
		},
		"redirected": func(t *testing.T, r *fake.Registry) {
			elsewhere := serve(t, echo(http.StatusForbidden, "no %s"))
			r.Inject("GET", "/blobs/", 0, func(http.Handler) http.Handler {
				return http.RedirectHandler(elsewhere+"/x?signature="+secretMark+"-signature", http.StatusTemporaryRedirect)
			})
		},
	}
	// These accounts succeed, which proves that the client does send its secrets.
	accepted := map[string]bool{"basic/password": true, "tokens/password": true, "tokens/identity token": true}
	for serverName, server := range servers {
		for accountName, account := range accounts {
			t.Run(serverName+"/"+accountName, func(t *testing.T) {
				recorded := &recorder{}
				recorded.recordLog(t)
				w, r := newWorld(t), fake.New()
				w.Config.RegistryService = bareEndpoints{}
				w.Config.LogPluginEvent = func(id, name string, action events.Action) { recorded.record("%s %s %s", id, name, action) }
				w.start()
				ref := r.Start(t) + "/group/plugin:v1"
				w.Create(ref)
				w.Create("installed")
				w.push(ref)
				server(t, r)
				outcomes := w.everyTransfer(recorded, ref, account)
				if accepted[serverName+"/"+accountName] {
					assert.DeepEqual(t, outcomes, []error{nil, nil, nil, nil})
				}
				recorded.check(t, secretMark, encoded)
			})
		}
	}
}

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// everyTransfer runs each verb that uses a registry, and records errors, progress
// and events. It returns the errors of privileges, pull, upgrade and push.
func (w *world) everyTransfer(recorded *recorder, ref string, account *registrytypes.AuthConfig) []error {
	ctx, remote := context.Background(), testworld.Named(w.T, ref)
	events, cancel := w.SubscribeEvents(100)
	defer cancel()
	var progress bytes.Buffer
	grants, err := w.Privileges(ctx, remote, nil, account)
	if err != nil {
		grants = types.PluginPrivileges{{Name: "network", Value: []string{"none"}}}
	}
	outcomes := []error{
		err,
		w.Pull(ctx, remote, "pulled", nil, account, grants, &progress, plugin.WithEnv([]string{"A=1"})),
		w.Upgrade(ctx, remote, "installed", nil, account, grants, &progress),
		w.Push(ctx, ref, nil, account, &progress),
	}
	for _, outcome := range outcomes {
		recorded.recordError(outcome)
	}
	again := *account
	again.ServerAddress = "https://user:" + secretMark + "@elsewhere.example/v1/" // the account is for another registry
	recorded.recordError(w.Push(ctx, ref, nil, &again, &progress))
	recorded.record("progress: %s", progress.String())
	for len(events) > 0 {
		recorded.record("event: %+v", <-events)
	}
	return outcomes
}
