// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/registry"
	registryservice "github.com/docker/docker/registry"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testseed"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

var discardLog = log.New(io.Discard, "", 0)

// Where servers of these tests are: names, ports and schemes that differ in one
// thing only.
var (
	secureHome   = origin("https://registry.test:443")
	plainHome    = origin("http://registry.test:80")
	secureTokens = origin("https://auth.test:443")
	plainTokens  = origin("http://auth.test:80")
	everywhere   = []origin{
		secureHome, plainHome, secureTokens, plainTokens,
		"https://registry.test:5000", "http://registry.test:5001", "https://storage.test:443", "http://storage.test:80", "https://auth.test:8443",
	}
)

const (
	metaSecret   = "meta-secret"
	cookieSecret = "cookie-secret"
	password     = "hunter2"
	identity     = "identity-secret"
)

// detour is a way that requests are sent on.
type detour struct {
	method, path string // of those that are
	hops         []hop
}

type hop struct {
	status int
	to     origin
}

// maze is a registry that sends requests on detours.
type maze struct {
	*web
	registry *fake.Registry // at home
	storage  *fake.Registry // elsewhere, without accounts
	home     origin
	tokens   origin
	account  *registry.AuthConfig
	detour   detour
	bench    *bench
}

func newMaze(t *testing.T, home, tokens origin, account *registry.AuthConfig, basic bool, d detour) *maze {
	t.Helper()
	b := newBench(t)
	m := &maze{registry: fake.New(), storage: fake.New(), home: home, tokens: tokens, account: account, detour: d}
	m.registry.Auth = &fake.Auth{Basic: basic, Realm: string(tokens) + "/token"}
	switch {
	case account.Password != "":
		m.registry.Auth.User, m.registry.Auth.Password = account.Username, account.Password
	case account.IdentityToken != "":
		m.registry.Auth.IdentityToken = account.IdentityToken
	default:
		m.registry.Auth.User, m.registry.Auth.Password = "other", "other"
	}
	m.storage.Inject("PUT", "/uploads/", 0, fake.Refuse(http.StatusCreated))
	m.storage.Inject("PATCH", "/uploads/", 0, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", r.URL.Path)
			w.WriteHeader(http.StatusAccepted)
		})
	})
	if d.method == http.MethodPatch {
		m.registry.ChunkMinLength, b.options.ChunkBytes = 1000, 200000
	}
	m.web = newWeb(t, m.answer, everywhere...)
	for _, r := range []*fake.Registry{m.registry, m.storage} {
		b.target = r.PutPlugin(repository, "latest", []byte(config), b.packed...)
	}
	address, err := url.Parse(string(home))
	assert.NilError(t, err)
	b.host = "registry.test"
	b.options.Dial = m.Dial
	b.options.Endpoints = endpoints{registryservice.APIEndpoint{URL: address, TLSConfig: &tls.Config{InsecureSkipVerify: true}}}
	m.bench = b
	return m
}

// answer serves what the maze has at an address, or sends the request on.
func (m *maze) answer(w http.ResponseWriter, r *http.Request, at origin) {
	step, _ := fmt.Sscan(r.URL.Query().Get("hop"), new(int))
	next := 0
	if step == 1 {
		_, _ = fmt.Sscan(r.URL.Query().Get("hop"), &next)
	}
	onWay := strings.Contains(r.Method, m.detour.method) && strings.Contains(r.URL.Path, m.detour.path)
	started := step == 1 || at == m.home || at == m.tokens && r.URL.Path == "/token"
	if onWay && started && next < len(m.detour.hops) {
		h := m.detour.hops[next]
		query := r.URL.Query()
		query.Set("hop", fmt.Sprint(next+1))
		w.Header().Set("Location", string(h.to)+r.URL.Path+"?"+query.Encode())
		w.WriteHeader(h.status)
		return
	}
	if at == m.home || at == m.tokens && r.URL.Path == "/token" {
		m.registry.ServeHTTP(w, r)
		return
	}
	m.storage.ServeHTTP(w, r)
}

// run pulls, or pushes to another name.
func (m *maze) run(t *testing.T, push bool) error {
	t.Helper()
	request := m.bench.request(t)
	request.Auth = m.account
	request.Headers = http.Header{"X-Registry-Auth": {metaSecret}, "Cookie": {"session=" + cookieSecret}, "User-Agent": {"docker/28"}}
	if !push {
		_, err := m.bench.pull(t.Context(), request)
		return err
	}
	m.bench.stock(t)
	request.Reference = named(t, "registry.test/group/copy:tag")
	_, err := m.bench.push(t.Context(), request)
	return err
}

// stock puts the plugin into the store without a registry.
func (b *bench) stock(t *testing.T) {
	t.Helper()
	_, manifest := b.Manifest(repository, "latest")
	for _, data := range append(slices.Clone(b.packed), []byte(config), manifest) {
		_, err := b.store.Put(t.Context(), b.store.NewPin(), data)
		assert.NilError(t, err)
	}
}

// check wants no secret at a place that it is not for, and reports whether any
// was sent at all.
func (m *maze) check(t *testing.T) (sent bool) {
	t.Helper()
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+password))
	for _, n := range m.takeNotes() {
		what := fmt.Sprintf("%s %s%s", n.request.Method, n.at, n.request.URL.Path)
		header := n.request.Header
		all := fmt.Sprint(header, n.request.URL, n.body)
		assert.Equal(t, header.Get("User-Agent"), "docker/28", what)
		assert.Equal(t, header.Get("Referer"), "", what)
		if n.at != m.home {
			for _, secret := range []string{metaSecret, cookieSecret, "Bearer "} {
				assert.Check(t, !strings.Contains(all, secret), "%s was sent %s", what, secret)
			}
		}
		authorization := header.Get("Authorization")
		isAccount := authorization == basic || strings.Contains(all, identity) || strings.Contains(all, password)
		sent = sent || isAccount || strings.HasPrefix(authorization, "Bearer ")
		if isAccount {
			toHome := n.at == m.home && m.registry.Auth.Basic
			assert.Check(t, toHome || n.at == m.tokens, "%s was sent the account", what)
		}
		if authorization != "" {
			assert.Check(t, n.at == m.home || n.at == m.tokens, "%s was sent %s", what, authorization)
		}
	}
	return sent
}

// ends is what a detour has to come to: whether it can be followed, and where it
// leads.
func (d detour) ends(method string, from origin) (follows bool, to origin) {
	question := method == http.MethodGet || method == http.MethodHead
	for _, h := range d.hops {
		keeps := h.status == http.StatusTemporaryRedirect || h.status == http.StatusPermanentRedirect
		if from.isSecure() && !h.to.isSecure() || !question && !keeps {
			return false, ""
		}
		from = h.to
	}
	return true, from
}

// The three ways in which a secret can travel that are easily overlooked: a
// second hop, the body of a request, and the loss of TLS.
func TestSecretsStayWithTheirOrigin(t *testing.T) {
	account := &registry.AuthConfig{Username: "user", Password: password}
	token := &registry.AuthConfig{IdentityToken: identity}
	for _, test := range []struct {
		name    string
		home    origin
		tokens  origin
		account *registry.AuthConfig
		detour  detour
		refused bool
	}{
		{"second hop to another port", plainHome, plainTokens, account, detour{"GET", "/blobs/", []hop{{307, "http://registry.test:5001"}, {307, "http://registry.test:5001"}}}, false},
		{"second hop to another host", plainHome, plainTokens, account, detour{"GET", "/blobs/", []hop{{302, "http://storage.test:80"}, {302, "http://auth.test:80"}}}, false},
		{"there and back", plainHome, plainTokens, account, detour{"GET", "/blobs/", []hop{{302, "http://storage.test:80"}, {302, plainHome}}}, false},
		{"identity token to another host", secureHome, secureTokens, token, detour{"POST", "/token", []hop{{307, "https://storage.test:443"}}}, true},
		{"identity token to another path", secureHome, secureTokens, token, detour{"POST", "/token", []hop{{307, secureTokens}}}, false},
		{"password to another host", secureHome, secureTokens, account, detour{"GET", "/token", []hop{{302, "https://storage.test:443"}}}, true},
		{"token in the clear", secureHome, secureTokens, account, detour{"GET", "/blobs/", []hop{{307, "https://registry.test:5000"}, {307, plainHome}}}, true},
		{"token server in the clear", secureHome, plainTokens, account, detour{}, true},
		{"upload in the clear", secureHome, secureTokens, account, detour{"PUT", "/blobs/", []hop{{307, plainHome}}}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMaze(t, test.home, test.tokens, test.account, false, test.detour)
			err := m.run(t, test.detour.method == http.MethodPut)
			assert.Equal(t, err != nil, test.refused, "%v", err)
			if refused := new(RefusedError); err != nil && test.name != "password to another host" {
				assert.Check(t, errors.As(err, &refused), "%v", err)
				redirect, ok := find[*RedirectError](err)
				assert.Check(t, ok, "%v", err)
				assert.Check(t, !strings.Contains(redirect.Error(), "hop="), "%v", err)
			}
			m.check(t)
		})
	}
}

// TestStorageWithItsOwnAccount: a registry redirects to a storage by an address with an
// account. The storage receives that account; a server that it redirects to, and the
// registry, do not.
func TestStorageWithItsOwnAccount(t *testing.T) {
	b := newBench(t)
	b.Auth = &fake.Auth{Basic: true, User: "user", Password: password}
	storage, second := fake.New(), fake.New()
	storage.Auth = &fake.Auth{Basic: true, User: "store", Password: "key"}
	storageHost, secondHost := storage.Start(t), second.Start(t)
	for _, layer := range b.packed {
		storage.PutBlob(repository, layer)
		second.PutBlob(repository, layer)
	}
	second.PutBlob(repository, []byte(config))
	b.Inject(http.MethodGet, "/blobs/", 0, fake.Redirect("http://store:key@"+storageHost))
	storage.Inject(http.MethodGet, blobPath([]byte(config)), 0, fake.Redirect("http://"+secondHost))
	request := b.request(t)
	request.Auth = &registry.AuthConfig{Username: "user", Password: password}
	contents, err := b.pull(t.Context(), request)
	assert.NilError(t, err)
	assert.DeepEqual(t, contents, b.layers)
	received := func(all []fake.Request) (accounts []string) {
		for _, r := range all {
			accounts = append(accounts, r.Header.Get("Authorization"))
		}
		slices.Sort(accounts)
		return slices.Compact(accounts)
	}
	assert.DeepEqual(t, received(b.Requests()), []string{"", basicHeader("user", password)})
	assert.DeepEqual(t, received(storage.Requests()), []string{basicHeader("store", "key")})
	assert.DeepEqual(t, received(second.Requests()), []string{""})
}

// An upload's address is as good as a redirect.
func TestUploadElsewhere(t *testing.T) {
	for name, test := range map[string]struct {
		to      origin
		refused bool
	}{
		"home":         {secureHome, false},
		"another host": {"https://storage.test:443", false},
		"in the clear": {plainHome, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMaze(t, secureHome, secureTokens, &registry.AuthConfig{Username: "user", Password: password}, false, detour{})
			m.registry.Location = func(_, path string) string { return string(test.to) + path }
			err := m.run(t, true)
			_, refused := find[*RedirectError](err)
			assert.Equal(t, refused, test.refused, "%v", err)
			assert.Equal(t, err != nil, test.refused, "%v", err)
			assert.Check(t, m.check(t))
		})
	}
}

// TestSecretsInAMaze sends requests of every kind through random redirects. Allowed
// redirects are followed, and no server gets a secret of another server.
func TestSecretsInAMaze(t *testing.T) {
	seed := testseed.Of(t)
	random := rand.New(rand.NewPCG(seed, 0))
	statuses := []int{301, 302, 303, 307, 308}
	stages := []struct {
		method, path string
		push         bool
	}{
		{"HEAD", "/manifests/", false}, {"GET", "/manifests/", false}, {"GET", "/blobs/", false}, {"", "/token", false},
		{"HEAD", "/blobs/", true}, {"POST", "/uploads/", true}, {"PATCH", "/uploads/", true}, {"PUT", "/uploads/", true}, {"HEAD", "/manifests/", true}, {"PUT", "/manifests/", true},
	}
	accounts := []struct {
		account registry.AuthConfig
		basic   bool
	}{
		{registry.AuthConfig{Username: "user", Password: password}, true},
		{registry.AuthConfig{Username: "user", Password: password}, false},
		{registry.AuthConfig{Auth: base64.StdEncoding.EncodeToString([]byte("user:" + password)), Password: ""}, false},
		{registry.AuthConfig{IdentityToken: identity}, false},
		{registry.AuthConfig{RegistryToken: "repository:group/plugin:pull repository:group/copy:pull,push"}, false},
	}
	var sent, refused, followed int
	for i := range 60 {
		stage := stages[random.IntN(len(stages))]
		who := accounts[random.IntN(len(accounts))]
		places := [][2]origin{{secureHome, secureTokens}, {plainHome, plainTokens}, {plainHome, secureTokens}, {secureHome, secureHome}}
		place := places[random.IntN(len(places))]
		d := detour{method: stage.method, path: stage.path}
		kept := random.IntN(2) == 0 // the method, so that more uploads arrive
		for range 1 + random.IntN(4) {
			h := hop{statuses[random.IntN(len(statuses))], everywhere[random.IntN(len(everywhere))]}
			if kept {
				h.status = statuses[3+random.IntN(2)]
			}
			d.hops = append(d.hops, h)
		}
		t.Run(fmt.Sprintf("%d: %s %s %v", i, stage.method, stage.path, d.hops), func(t *testing.T) {
			m := newMaze(t, place[0], place[1], &who.account, who.basic, d)
			if who.account.Auth != "" {
				m.registry.Auth.User, m.registry.Auth.Password = "user", password
			}
			err := m.run(t, stage.push)
			if m.check(t) {
				sent++
			}
			asksForToken := stage.path == "/token" && !who.basic && who.account.RegistryToken == ""
			from, method := m.home, stage.method
			if stage.path == "/token" {
				from, method = m.tokens, "GET"
				if who.account.IdentityToken != "" {
					method = "POST"
				}
			}
			follows, to := d.ends(method, from)
			switch {
			case stage.path == "/token" && !asksForToken:
				assert.NilError(t, err)
			case stage.path == "/token":
				back := follows && to == m.tokens && (method == "GET" || !slices.ContainsFunc(d.hops, func(h hop) bool { return h.to != m.tokens }))
				// A home that answers for tokens as well is a token server too.
				back = back || follows && method == "GET" && to == m.home && m.home == m.tokens
				assert.Equal(t, err == nil, back, "%v", err)
			default:
				assert.Equal(t, err == nil, follows, "%v", err)
			}
			if err != nil {
				refused++
				return
			}
			followed++
		})
	}
	assert.Check(t, sent > 20 && refused > 3 && followed > 3, "sent %d, refused %d, followed %d", sent, refused, followed)
}
