package plugin_test

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
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// Everything secret has this in it, or is its encoding.
const secretMark = "s3cret"

// ears collects all that a manager says to anybody.
type ears struct {
	mu    sync.Mutex
	heard []string
}

func (e *ears) hear(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, fmt.Sprintf(format, args...))
}

// Levels makes ears a hook of the log, at every level.
func (e *ears) Levels() []logrus.Level { return logrus.AllLevels }

// Fire hears an entry with all its fields.
func (e *ears) Fire(entry *logrus.Entry) error {
	e.hear("log %s: %s %+v", entry.Level, entry.Message, entry.Data)
	return nil
}

// error hears an error and every error in it, in every form it can be shown.
func (e *ears) error(err error) {
	if err == nil {
		return
	}
	e.hear("error: %v %+v %#v %q", err, err, err, err)
	switch wrapper := err.(type) { //nolint:errorlint // each layer is looked at by itself
	case interface{ Unwrap() error }:
		e.error(wrapper.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range wrapper.Unwrap() {
			e.error(inner)
		}
	}
}

// listenTo hears the standard log, to its most talkative level, until the test
// ends.
func (e *ears) listenTo(t *testing.T) {
	logger := logrus.StandardLogger()
	level, hooks := log.GetLevel(), logger.ReplaceHooks(logrus.LevelHooks{})
	logger.AddHook(e)
	logger.SetLevel(logrus.TraceLevel)
	t.Cleanup(func() {
		logger.SetLevel(level)
		logger.ReplaceHooks(hooks)
	})
}

func (e *ears) check(t *testing.T, secrets ...string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	assert.Assert(t, len(e.heard) > 0)
	for _, said := range e.heard {
		for _, secret := range secrets {
			assert.Check(t, !strings.Contains(said, secret), "%s", said)
		}
	}
}

// echo is a server that answers with what it was told, as badly written ones do.
func echo(status int, form string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		user, password, _ := r.BasicAuth()
		told := fmt.Sprint(user, password, r.Header.Get("Authorization"), r.Form)
		w.WriteHeader(status)
		fmt.Fprintf(w, form, told)
	})
}

// bareEndpoints has what a careless configuration has.
type bareEndpoints struct{}

func (bareEndpoints) LookupPullEndpoints(host string) ([]registry.APIEndpoint, error) {
	user := url.UserPassword("user", secretMark+"-userinfo")
	return []registry.APIEndpoint{{URL: &url.URL{Scheme: "http", Host: host, User: user}}}, nil
}

// TestSecretsStaySecret has every verb that talks to a registry succeed and
// fail with every kind of account, and listens to all that is said meanwhile.
func TestSecretsStaySecret(t *testing.T) {
	const password, identity = secretMark + "-password", secretMark + "-identity"
	encoded := base64.StdEncoding.EncodeToString([]byte("user:" + password))
	// The fake registry's tokens are lists of scopes; what follows them is ours.
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
	for serverName, server := range servers {
		for accountName, account := range accounts {
			t.Run(serverName+"/"+accountName, func(t *testing.T) {
				listener := &ears{}
				listener.listenTo(t)
				w, r := newWorld(t), fake.New()
				w.config.RegistryService = bareEndpoints{}
				w.config.LogPluginEvent = func(id, name string, action events.Action) { listener.hear("%s %s %s", id, name, action) }
				w.start()
				ref := r.Start(t) + "/group/plugin:v1"
				w.create(ref)
				w.create("installed")
				w.push(ref)
				server(t, r)
				w.everyTransfer(listener, ref, account)
				listener.check(t, secretMark, encoded)
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

// everyTransfer takes each verb that talks to a registry to its end, and lets
// listener hear errors, progress and events.
func (w *world) everyTransfer(listener *ears, ref string, account *registrytypes.AuthConfig) {
	ctx, remote := context.Background(), named(w.t, ref)
	told, cancel := w.SubscribeEvents(100)
	defer cancel()
	var progress bytes.Buffer
	grants, err := w.Privileges(ctx, remote, nil, account)
	listener.error(err)
	if err != nil {
		grants = types.PluginPrivileges{{Name: "network", Value: []string{"none"}}}
	}
	listener.error(w.Pull(ctx, remote, "pulled", nil, account, grants, &progress, plugin.WithEnv([]string{"A=1"})))
	listener.error(w.Upgrade(ctx, remote, "installed", nil, account, grants, &progress))
	listener.error(w.Push(ctx, ref, nil, account, &progress))
	again := *account
	again.ServerAddress = "https://user:" + secretMark + "@elsewhere.example/v1/" // the account is for another registry
	listener.error(w.Push(ctx, ref, nil, &again, &progress))
	listener.hear("progress: %s", progress.String())
	for len(told) > 0 {
		listener.hear("event: %+v", <-told)
	}
}
