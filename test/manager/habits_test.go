// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	registrytypes "github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/registry"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// habit is a behaviour of some registries.
type habit struct {
	name    string
	account *registrytypes.AuthConfig
	begin   func(h *habitual)
	// verbs are the verbs that the habit affects; nil means all.
	verbs []string
	// want is the class of error that these verbs return; nil means success.
	want func(error) bool
	// check checks the requests that the registry got.
	check func(t *testing.T, h *habitual)
}

// habitual is a user's manager and a registry with a habit. The registry has two
// versions of a plugin; the manager of their author keeps the first.
type habitual struct {
	*faultyRegistry
	layer string // the path of the second version's layer
	log   []fake.Request
}

func userAccount() *registrytypes.AuthConfig {
	return &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}
}

// accounts are the kinds of accounts, each with the credentials that the registry
// requires.
var accounts = map[string]struct {
	account *registrytypes.AuthConfig
	auth    func() *fake.Auth
}{
	"anonymous":      {nil, func() *fake.Auth { return &fake.Auth{} }},
	"password":       {userAccount(), func() *fake.Auth { return &fake.Auth{User: "user", Password: "hunter2"} }},
	"encoded":        {&registrytypes.AuthConfig{Auth: "dXNlcjpodW50ZXIy"}, func() *fake.Auth { return &fake.Auth{User: "user", Password: "hunter2"} }},
	"identity token": {&registrytypes.AuthConfig{IdentityToken: "identity"}, func() *fake.Auth { return &fake.Auth{IdentityToken: "identity"} }},
}

// habits lists the habits that real registries were found to have.
func habits() []habit {
	ranges := func(name string, want func(error) bool, faults ...fake.Fault) habit {
		return habit{name: name, begin: func(h *habitual) {
			for _, fault := range faults {
				h.registry.Inject("GET", h.layer, 0, fault)
			}
		}, want: want, verbs: []string{"pull", "upgrade"}}
	}
	cutOnce := func(next habit) habit {
		begin := next.begin
		next.begin = func(h *habitual) {
			h.registry.Inject("GET", h.layer, 1, fake.Cut(100000))
			begin(h)
		}
		return next
	}
	upload := func(name string, begin func(h *habitual)) habit {
		return habit{name: name, begin: begin, verbs: []string{"push", "push copy", "push empty"}}
	}
	all := []habit{
		{name: "none", begin: func(*habitual) {}},
		ranges("no HEAD", nil, fake.NoHead),
		ranges("many cuts", nil, fake.Cut(200000), fake.Cut(0)),
		cutOnce(ranges("416 to every Range", nil, fake.RefuseRanges)),
		cutOnce(ranges("200 to a Range", nil, fake.IgnoreRange)),
		ranges("fewer bytes", errdefs.IsDataLoss, fake.Shorten(1000)),
		ranges("no bytes", errdefs.IsDataLoss, fake.Shorten(0)),
		ranges("more bytes", errdefs.IsDataLoss, fake.Lengthen([]byte("more"))),
		{name: "fewer bytes once", begin: func(h *habitual) { h.registry.Inject("GET", h.layer, 1, fake.Shorten(1000)) }},
		{name: "more bytes once", begin: func(h *habitual) { h.registry.Inject("GET", h.layer, 1, fake.Lengthen([]byte("more"))) }},
		cutOnce(ranges("416 and fewer bytes", errdefs.IsDataLoss, fake.Shorten(99999))),
		{name: "other bytes", begin: func(h *habitual) { h.registry.Inject("GET", h.layer, 0, fake.Lie(make([]byte, 100))) }, want: errdefs.IsDataLoss, verbs: []string{"pull", "upgrade"}},
		{name: "an invalid encoding", begin: func(h *habitual) {
			h.registry.Inject("GET", h.layer, 0, fake.SetHeader("Content-Encoding", "gzip"))
		}},
		{name: "HEAD is not known", begin: func(h *habitual) { h.registry.Inject("", "/v2/", 0, fake.NoHead) }},
		{name: "HEAD with the length of its body", begin: func(h *habitual) { h.registry.Inject("HEAD", "/v2/", 0, fake.EmptyHead) }},
		{name: "206 without a Range", begin: func(h *habitual) { h.registry.Inject("", "/v2/", 0, fake.AlwaysPartial) }},
		{name: "408 once", begin: func(h *habitual) {
			for _, path := range []string{"/manifests/", "/blobs/", "/token"} {
				h.registry.Inject("", path, 1, fake.Refuse(http.StatusRequestTimeout))
			}
		}},
		{name: "no digest", begin: func(h *habitual) {
			h.registry.Inject("", "/manifests/", 0, fake.SetHeader("Docker-Content-Digest", ""))
		}},
		{name: "no type", begin: func(h *habitual) {
			h.registry.Inject("", "/manifests/", 0, fake.SetHeader("Content-Type", "application/json; charset=utf-8"))
		}},
		{name: "wrong password", account: &registrytypes.AuthConfig{Username: "user", Password: "guess"}, begin: func(h *habitual) {
			h.registry.Auth = &fake.Auth{User: "user", Password: "hunter2"}
		}, want: errdefs.IsUnauthorized, check: triedOnce},
		{name: "wrong password, basic", account: &registrytypes.AuthConfig{Username: "user", Password: "guess"}, begin: func(h *habitual) {
			h.registry.Auth = &fake.Auth{Basic: true, User: "user", Password: "hunter2"}
		}, want: errdefs.IsUnauthorized, check: triedOnce},
		{name: "wrong identity token", account: &registrytypes.AuthConfig{IdentityToken: "guess"}, begin: func(h *habitual) {
			h.registry.Auth = &fake.Auth{IdentityToken: "identity"}
		}, want: errdefs.IsUnauthorized, check: triedByBothMethods},
		{name: "basic before bearer, anonymous", begin: func(h *habitual) { h.registry.Auth = &fake.Auth{Before: []string{`Basic realm="test"`}} }},
		{name: "an empty layer is refused", begin: func(h *habitual) {
			h.registry.NoMounts = true
			h.registry.Inject("PUT", "/uploads/", 0, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Query().Get("digest") == digest.FromBytes(nil).String() {
						fake.Refuse(http.StatusBadRequest)(next).ServeHTTP(w, r)
						return
					}
					next.ServeHTTP(w, r)
				})
			})
		}, want: errdefs.IsInternal, verbs: []string{"push empty"}},
		upload("Location relative", func(h *habitual) { h.registry.Location = fake.RelativeLocation }),
		upload("Location absolute", func(h *habitual) { h.registry.Location = fake.AbsoluteLocation }),
		upload("Location without scheme", func(h *habitual) { h.registry.Location = fake.SchemelessLocation }),
		upload("Location with a query", func(h *habitual) { h.registry.Location = fake.QueryLocation }),
		upload("chunks", func(h *habitual) { h.registry.ChunkMinLength = 16 << 20 }),
		upload("the session is lost", func(h *habitual) { h.registry.Inject("PUT", "/uploads/", 2, fake.LoseUpload) }),
		{name: "every session is lost", begin: func(h *habitual) {
			h.registry.NoMounts = true
			h.registry.Inject("PUT", "/uploads/", 0, fake.LoseUpload)
		}, want: errdefs.IsNotFound, verbs: []string{"push", "push empty", "push copy"}},
		slowCommit("a slow commit", 0),
		slowCommit("a slow commit after chunks", 16<<20),
	}
	for status := range slices.Values([]int{200, 201, 202, 204}) {
		all = append(all, upload(fmt.Sprintf("%d for an upload", status), func(h *habitual) { h.registry.UploadStatus = status }))
	}
	for status := range slices.Values([]int{202, 400, 401, 403, 404, 405, 409, 429, 500, 501, 503}) {
		all = append(all, habit{name: fmt.Sprintf("%d to a mount", status), verbs: []string{"push copy", "push empty"}, begin: func(h *habitual) {
			h.registry.NoMounts = status == http.StatusAccepted
			if !h.registry.NoMounts {
				h.registry.Inject("POST", "/uploads/", 0, fake.RefuseMounts(status))
			}
		}})
	}
	for kind, a := range accounts {
		auth := func(name string, change func(*fake.Auth), check func(*testing.T, *habitual), verbs ...string) {
			all = append(all, habit{name: name + ", " + kind, account: a.account, verbs: verbs, begin: func(h *habitual) {
				h.registry.Auth = a.auth()
				change(h.registry.Auth)
			}, check: check})
		}
		for name, broken := range map[string]fake.Fault{
			"503": fake.Refuse(http.StatusServiceUnavailable), "cut": fake.Cut(0), "cut in the middle": fake.Cut(5), "429": fake.Refuse(http.StatusTooManyRequests, "Retry-After", "1"),
		} {
			all = append(all, habit{name: "token server broken once by " + name + ", " + kind, account: a.account, begin: func(h *habitual) {
				h.registry.Auth = a.auth()
				h.registry.Inject("", "/token", 1, broken)
			}})
		}
		for _, uses := range []int{1, 2, 3} {
			auth(fmt.Sprintf("tokens good for %d", uses), func(a *fake.Auth) { a.Uses = uses }, nil)
			auth(fmt.Sprintf("opaque tokens good for %d", uses), func(a *fake.Auth) { a.Uses, a.Opaque, a.ExpiresIn = uses, true, -1 }, oneTokenForEach401)
		}
		for _, oneField := range []bool{false, true} {
			basic, unknown := `Basic realm="te,st"`, `Negotiate, Digest realm="a \"quoted\" one", nonce=abc`
			for where, change := range map[string]func(*fake.Auth){
				"before": func(a *fake.Auth) { a.Before = []string{basic} },
				"after":  func(a *fake.Auth) { a.After = []string{basic} },
				"around": func(a *fake.Auth) { a.Before, a.After = []string{unknown, basic}, []string{unknown} },
			} {
				auth(fmt.Sprintf("challenges %s, one field %t", where, oneField), func(a *fake.Auth) {
					a.OneField = oneField
					change(a)
				}, nil)
			}
		}
		auth("a source that can't be read", func(a *fake.Auth) { a.Hidden = []string{"group/plugin-source"} }, nil, "push copy")
		for _, status := range []int{400, 401, 403} {
			auth(fmt.Sprintf("a source for which a token is refused by %d", status), func(a *fake.Auth) {
				a.Hidden, a.RefuseHidden = []string{"group/plugin-source"}, status
			}, nil, "push copy")
		}
	}
	return all
}

// slowCommit is a registry that takes minutes to process a complete upload. least, if
// positive, makes it require chunks.
func slowCommit(name string, least int64) habit {
	return habit{name: name, begin: func(h *habitual) {
		h.registry.ChunkMinLength = least
		h.registry.Inject("PUT", "/uploads/", 0, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				later := make(chan struct{})
				time.AfterFunc(10*time.Minute, func() { close(later) })
				fake.HoldUpload(later)(next).ServeHTTP(w, r)
			})
		})
	}, check: committedOnce}
}

// committedOnce checks that no complete upload was sent again.
func committedOnce(t *testing.T, h *habitual) {
	sent := map[string]int{}
	for _, r := range h.log {
		if r.Method == http.MethodPut && strings.Contains(r.Path, "/uploads/") {
			sent[strings.Split(r.Path, "/blobs/")[0]+r.Query]++
		}
	}
	for what, times := range sent {
		assert.Equal(t, times, 1, "%s was sent again", what)
	}
}

// triedOnce checks that each verb sent a wrong account once.
func triedOnce(t *testing.T, h *habitual) {
	t.Helper()
	assert.Check(t, h.registry.Auth.Rejected() <= 1, "the account was sent more than once")
}

// triedByBothMethods checks that a refused identity token was sent by POST and by
// GET, once each: token servers that know only GET answer 401 to a POST.
func triedByBothMethods(t *testing.T, h *habitual) {
	t.Helper()
	assert.Check(t, h.registry.Auth.Rejected() <= 2, "the identity token was sent more than twice")
}

// oneTokenForEach401 checks that no more tokens were requested than requests refused.
func oneTokenForEach401(t *testing.T, h *habitual) {
	t.Helper()
	tokens := len(h.registry.Auth.Scopes())
	refused := 0
	for _, r := range h.log {
		if strings.HasPrefix(r.Path, "/v2/") {
			refused++
		}
	}
	assert.Check(t, tokens <= refused, "%d tokens for %d requests", tokens, refused)
}

// TestHabitsOfRegistries runs each verb with each habit. The verb succeeds, or
// returns an error of the right class and succeeds once the registry has dropped
// the habit.
func TestHabitsOfRegistries(t *testing.T) {
	for name, resolver := range map[string]plugin.EndpointResolver{"http": testworld.PlainHTTP{}, "marked as insecure": insecureEndpoints{}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Config.RegistryService = resolver
			h := &habitual{faultyRegistry: &faultyRegistry{registry: fake.New(), host: "registry.test:80", protocol: http1}}
			synctest.Test(t, func(t *testing.T) {
				defer h.start(t, w.Config)()
				h.prepare(t)
			})
			for _, habit := range habits() {
				if name == "http" || habit.account == nil || habit.want != nil { // TLS is the same for all accounts
					t.Run(habit.name, func(t *testing.T) { h.playAll(t, w.Config, habit) })
				}
			}
		})
	}
}

// insecureEndpoints resolves every host to an endpoint without TLS, marked as
// insecure.
type insecureEndpoints struct{}

func (insecureEndpoints) LookupPullEndpoints(host string) ([]registry.APIEndpoint, error) {
	return []registry.APIEndpoint{{URL: &url.URL{Scheme: "https", Host: host}}, {URL: &url.URL{Scheme: "http", Host: host}}}, nil
}

// playAll plays all verbs that a habit affects.
func (h *habitual) playAll(t *testing.T, config plugin.ManagerConfig, habit habit) {
	synctest.Test(t, func(t *testing.T) {
		defer h.start(t, config)()
		for _, v := range h.verbs(t) {
			if habit.verbs == nil || slices.Contains(habit.verbs, v.name) {
				h.play(t, habit, v)
			}
		}
	})
}

// habitVerb is a verb, and how to undo it.
type habitVerb struct {
	name string
	do   func(account *registrytypes.AuthConfig, out io.Writer) error
	undo func() error
}

func (h *habitual) ref(name string) string { return h.host + "/group/" + name }

// prepare pushes two versions, and installs plugins for later pushes.
func (h *habitual) prepare(t *testing.T) {
	t.Helper()
	create := func(ref string, data string) {
		t.Helper()
		files := map[string]string{"plugin": "a program", "data": data}
		archive := plugintest.BuildContext(plugintest.Config(), files)
		assert.NilError(t, h.CreateFromContext(context.Background(), archive, &types.PluginCreateOptions{RepoName: ref}))
	}
	for _, version := range []string{"v1", "v2"} {
		ref := h.ref("plugin-source:" + version)
		create(ref, noise(version))
		assert.NilError(t, h.Push(t.Context(), ref, nil, nil, nil))
		p, err := h.Get(ref)
		assert.NilError(t, err)
		h.layer = "/blobs/" + p.Blobsums[0].String()
		assert.NilError(t, h.Remove(ref, nil))
	}
	h.GC()
	var err error
	h.grants, err = h.Privileges(t.Context(), testworld.Named(t, h.ref("plugin-source:v1")), nil, nil)
	assert.NilError(t, err)
	pull := func(name string) {
		t.Helper()
		assert.NilError(t, h.Pull(t.Context(), testworld.Named(t, h.ref("plugin-source:v1")), name, nil, nil, h.grants, nil))
	}
	pull("mine")
	pull(h.ref("copy:v1")) // may be mounted from plugin-source
	create(h.ref("pushed:v1"), noise("pushed"))
	h.putEmpty(t)
}

// noise returns a text that does not compress.
func noise(seed string) string {
	data := make([]byte, 160<<10)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(seed))).Read(data)
	return string(data)
}

// putEmpty installs a plugin with an empty layer, which handmade plugins can have.
func (h *habitual) putEmpty(t *testing.T) {
	t.Helper()
	config, err := json.Marshal(plugintest.Config())
	assert.NilError(t, err)
	h.registry.PutPlugin("group/empty", "v1", config, gzippedLayer(t, "plugin", "").data, []byte{})
	assert.NilError(t, h.Pull(t.Context(), testworld.Named(t, h.ref("empty:v1")), h.ref("empty-copy:v1"), nil, nil, h.grants, nil))
}

func (h *habitual) verbs(t *testing.T) []habitVerb {
	v2 := testworld.Named(t, h.ref("plugin-source:v2"))
	push := func(name string) func(*registrytypes.AuthConfig, io.Writer) error {
		return func(account *registrytypes.AuthConfig, out io.Writer) error {
			return h.Push(t.Context(), h.ref(name), nil, account, out)
		}
	}
	nothing := func() error { return nil }
	return []habitVerb{
		{"privileges", func(account *registrytypes.AuthConfig, _ io.Writer) error {
			_, err := h.Privileges(t.Context(), v2, nil, account)
			return err
		}, nothing},
		{"pull", func(account *registrytypes.AuthConfig, out io.Writer) error {
			return h.Pull(t.Context(), v2, "pulled", nil, account, h.grants, out)
		}, func() error { return h.Remove("pulled", nil) }},
		{"upgrade", func(account *registrytypes.AuthConfig, out io.Writer) error {
			return h.Upgrade(t.Context(), v2, "mine", nil, account, h.grants, out)
		}, func() error {
			return h.Upgrade(t.Context(), testworld.Named(t, h.ref("plugin-source:v1")), "mine", nil, nil, h.grants, nil)
		}},
		{"push", push("pushed:v1"), nothing},
		{"push copy", push("copy:v1"), nothing},
		{"push empty", push("empty-copy:v1"), nothing},
	}
}

// play runs a verb with a habit, and repeats it without the habit after an error.
func (h *habitual) play(t *testing.T, habit habit, v habitVerb) {
	t.Helper()
	for _, pushed := range []string{"group/pushed", "group/copy", "group/empty-copy"} {
		h.registry.Remove(pushed)
	}
	synctest.Wait()
	habit.begin(h)
	h.registry.Requests()
	var out bytes.Buffer
	err := v.do(habit.account, &out)
	h.log = h.registry.Requests()
	if habit.want == nil {
		assert.Check(t, is.Nil(err), v.name)
	} else {
		assert.Check(t, err != nil && habit.want(err), "%s: %v", v.name, err)
		assert.Check(t, !strings.Contains(out.String(), ": digest: sha256"), "%s: %s", v.name, out.String())
	}
	if habit.check != nil {
		habit.check(t, h)
	}
	h.dropHabit()
	if err != nil {
		assert.Check(t, is.Nil(v.do(nil, nil)), "%s, without the habit", v.name)
	}
	assert.Check(t, is.Nil(v.undo()), v.name)
	h.GC()
}

// dropHabit makes the registry behave like others again.
func (h *habitual) dropHabit() {
	synctest.Wait()
	h.registry.Heal()
	h.registry.Auth, h.registry.Location = nil, nil
	h.registry.NoMounts, h.registry.UploadStatus, h.registry.ChunkMinLength = false, 0, 0
}
