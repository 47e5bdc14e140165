// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	registrytypes "github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/registry"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/memnet"
	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// faultyRegistry is a manager and a failing registry in virtual time.
type faultyRegistry struct {
	*plugin.Manager
	registry *fake.Registry
	host     string
	protocol protocol
	// certificate is the registry's, if the protocol needs one.
	certificate tls.Certificate
	grants      types.PluginPrivileges
	release     chan struct{} // ends the faults
}

// protocol is the protocol of a registry.
type protocol string

const (
	http1 protocol = "HTTP/1.1"
	http2 protocol = "HTTP/2" // always over TLS
)

// LookupPullEndpoints implements the resolver of a manager.
func (p protocol) LookupPullEndpoints(host string) ([]registry.APIEndpoint, error) {
	if p == http1 {
		return testworld.PlainHTTP{}.LookupPullEndpoints(host)
	}
	return []registry.APIEndpoint{{URL: &url.URL{Scheme: "https", Host: host}, TLSConfig: &tls.Config{InsecureSkipVerify: true}}}, nil
}

// serve serves a registry until the server is closed.
func (p protocol) serve(server *http.Server, listener net.Listener, certificate tls.Certificate) error {
	if p == http1 {
		return server.Serve(listener)
	}
	server.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: fake.HTTP2Window}
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	return server.ServeTLS(listener, "", "")
}

// verb is a manager's verb that uses a registry.
type verb struct {
	name   string
	stages []stage
	do     func(ctx context.Context, f *faultyRegistry, out io.Writer) error
	undo   func(f *faultyRegistry) error
}

// stage is a request of a verb, identified by method and path.
type stage struct{ method, path string }

// hangAccount is the account at the registry of these tests.
var hangAccount = &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}

// verbsOfRegistries lists the verbs, each with all its requests.
func verbsOfRegistries(t *testing.T, layer string) []verb {
	ref := func(f *faultyRegistry, version string) string { return f.host + "/group/plugin:" + version }
	asked := []stage{{"", "/token"}, {"HEAD", "/manifests/"}, {"GET", "/manifests/"}, {"GET", "/blobs/"}}
	pulled := slices.Concat(asked, []stage{{"GET", layer}})
	pushed := []stage{{"", "/token"}, {"HEAD", "/blobs/"}, {"POST", "/uploads/"}, {"PUT", "/uploads/"}, {"HEAD", "/manifests/"}, {"PUT", "/manifests/"}}
	return []verb{
		{"privileges", asked, func(ctx context.Context, f *faultyRegistry, _ io.Writer) error {
			_, err := f.Privileges(ctx, testworld.Named(t, ref(f, "v2")), nil, hangAccount)
			return err
		}, func(f *faultyRegistry) error { return nil }},
		{"pull", pulled, func(ctx context.Context, f *faultyRegistry, out io.Writer) error {
			return f.Pull(ctx, testworld.Named(t, ref(f, "v2")), "pulled", nil, hangAccount, f.grants, out)
		}, func(f *faultyRegistry) error { return f.Remove("pulled", nil) }},
		{"upgrade", pulled, func(ctx context.Context, f *faultyRegistry, out io.Writer) error {
			return f.Upgrade(ctx, testworld.Named(t, ref(f, "v2")), "mine", nil, hangAccount, f.grants, out)
		}, func(f *faultyRegistry) error {
			return f.Upgrade(context.Background(), testworld.Named(t, ref(f, "v1")), "mine", nil, hangAccount, f.grants, nil)
		}},
		{"push", pushed, func(ctx context.Context, f *faultyRegistry, out io.Writer) error {
			return f.Push(ctx, ref(f, "v1"), nil, hangAccount, out)
		}, func(f *faultyRegistry) error { return nil }},
	}
}

// TestNothingHangsOnARegistry makes each request of each verb hang in each way, over
// HTTP/1.1 and HTTP/2.
// The verb ends at once when its context or its manager ends. Otherwise it
// returns an error of class Unavailable within minutes. The next verb succeeds.
func TestNothingHangsOnARegistry(t *testing.T) {
	w, r, host := newConnectedWorld(t)
	grants := w.largeVersion(host + "/group/plugin:v1")
	w.largeVersion(host + "/group/plugin:v2")
	_, err := w.pull(host+"/group/plugin:v1", "mine", grants)
	assert.NilError(t, err)
	_, err = w.pull(host+"/group/plugin:v1", host+"/group/plugin:v1", grants)
	assert.NilError(t, err)
	_, err = w.pull(host+"/group/plugin:v2", "other", grants)
	assert.NilError(t, err)
	other, err := w.Get("other")
	assert.NilError(t, err)
	assert.NilError(t, w.Remove("other", nil))
	w.GC()
	w.Shutdown()
	r.Auth = &fake.Auth{User: "user", Password: "hunter2"}
	certificate := newAuthority(t).issue(&x509.Certificate{})

	inBubble := func(t *testing.T, p protocol, v verb, test func(t *testing.T, f *faultyRegistry)) {
		registry := r
		if v.name == "push" {
			registry = fake.New()
			registry.Auth = r.Auth
		}
		synctest.Test(t, func(t *testing.T) {
			f := &faultyRegistry{registry: registry, host: host, protocol: p, certificate: certificate, grants: grants, release: make(chan struct{})}
			config := w.Config
			config.RegistryService = p
			defer f.start(t, config)()
			test(t, f)
		})
	}
	for _, p := range []protocol{http1, http2} {
		for _, v := range verbsOfRegistries(t, "/blobs/"+other.Blobsums[0].String()) {
			name := func(s stage, failing string) string {
				return fmt.Sprintf("%s/%s%s/%s/%s", v.name, s.method, strings.ReplaceAll(s.path, "/", "-"), failing, strings.ReplaceAll(string(p), "/", "-"))
			}
			for _, s := range v.stages {
				for _, failing := range failuresOf(s) {
					t.Run(name(s, failing), func(t *testing.T) {
						inBubble(t, p, v, func(t *testing.T, f *faultyRegistry) { f.cancelled(t, v, s, failing) })
						inBubble(t, p, v, func(t *testing.T, f *faultyRegistry) { f.leftAlone(t, v, s, failing) })
					})
				}
				t.Run(name(s, "shutdown"), func(t *testing.T) {
					inBubble(t, p, v, func(t *testing.T, f *faultyRegistry) { f.shutDown(t, v, s) })
				})
			}
			if v.name != "privileges" {
				t.Run(name(stage{}, "reader gone"), func(t *testing.T) {
					inBubble(t, p, v, func(t *testing.T, f *faultyRegistry) { f.readerGone(t, v) })
				})
			}
		}
	}
}

// failuresOf lists the ways in which the request of a stage can hang.
func failuresOf(s stage) []string {
	all := []string{"no answer", "no answer to all of it", "half an answer", "429 of an hour", "503 for ever"}
	if s.method == http.MethodPut {
		all = append(all, "early success", "early failure")
	}
	return all
}

// largeVersion creates and pushes a plugin that is larger than any buffer.
func (w *world) largeVersion(ref string) types.PluginPrivileges {
	w.T.Helper()
	data := make([]byte, 256<<10)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(ref))).Read(data)
	archive := plugintest.BuildContext(plugintest.Config(), map[string]string{"plugin": "a program", "name": ref, "data": string(data)})
	assert.NilError(w.T, w.CreateFromContext(context.Background(), archive, &types.PluginCreateOptions{RepoName: ref}))
	w.push(ref)
	assert.NilError(w.T, w.Remove(ref, nil))
	grants, err := w.Privileges(context.Background(), testworld.Named(w.T, ref), nil, nil)
	assert.NilError(w.T, err)
	return grants
}

// start starts the manager and the registry. The returned function ends them.
func (f *faultyRegistry) start(t *testing.T, config plugin.ManagerConfig) (end func()) {
	t.Helper()
	config.Store = plugin.NewStore()
	executor := &scripted{scripts: map[string]script{}, runs: map[string]*scriptedRun{}, starts: map[string]int{}}
	config.CreateExecutor = func(*plugin.Manager) (plugin.Executor, error) { return executor, nil }
	var network memnet.Network
	pm, err := testworld.NewManagerDialing(config, executor.await, network.Dial)
	assert.NilError(t, err)
	f.Manager = pm
	server := &http.Server{Handler: f.registry, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = f.protocol.serve(server, network.Listen(f.host), f.certificate)
	}()
	synctest.Wait()
	return func() {
		f.registry.Heal()
		f.Shutdown()
		_ = server.Close()
		<-served
		time.Sleep(time.Second) // as long as the server lingers on a connection with a body that it did not read
	}
}

// inject makes all requests of a stage fail, and closes hit at the first.
func (f *faultyRegistry) inject(s stage, failing string) (hit chan struct{}) {
	hit = make(chan struct{})
	var once sync.Once
	f.registry.Inject(s.method, s.path, 0, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			once.Do(func() { close(hit) })
			switch failing {
			case "no answer":
				<-f.release
			case "no answer to all of it":
				_, _ = io.Copy(io.Discard, r.Body)
				<-f.release
			case "half an answer":
				whole := httptest.NewRecorder()
				next.ServeHTTP(whole, r)
				maps.Copy(w.Header(), whole.Header())
				if r.Method != http.MethodHead {
					w.Header().Set("Content-Length", "100")
				}
				w.WriteHeader(whole.Code)
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				<-f.release
			case "early success":
				fake.AnswerEarly(http.StatusCreated, f.release)(next).ServeHTTP(w, r)
			case "early failure":
				fake.AnswerEarly(http.StatusServiceUnavailable, f.release)(next).ServeHTTP(w, r)
			case "429 of an hour":
				fake.Refuse(http.StatusTooManyRequests, "Retry-After", "3600")(next).ServeHTTP(w, r)
			default:
				fake.Refuse(http.StatusServiceUnavailable)(next).ServeHTTP(w, r)
			}
		})
	})
	return hit
}

// heal ends the faults.
func (f *faultyRegistry) heal() {
	close(f.release)
	f.registry.Heal()
}

// works checks that the verb succeeds, and undoes it.
func (f *faultyRegistry) works(t *testing.T, v verb) {
	t.Helper()
	var out bytes.Buffer
	assert.NilError(t, v.do(t.Context(), f, &out))
	assert.NilError(t, v.undo(f))
	f.GC()
}

// harmless reports whether the verb succeeds in spite of the fault: its stage does
// not need the half of the answer that is missing, or answers that it is done.
func harmless(s stage, failing string) bool {
	return failing == "early success" || failing == "half an answer" && s.method != http.MethodGet && s.path != "/token"
}

func (f *faultyRegistry) cancelled(t *testing.T, v verb, s stage, failing string) {
	hit := f.inject(s, failing)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the client has left")
	result := make(chan error, 1)
	go func() { result <- v.do(ctx, f, io.Discard) }()
	<-hit
	began := time.Now()
	cancel(gone)
	err := <-result
	assert.Equal(t, time.Since(began), time.Duration(0), "it took time to end: %v", err)
	if strings.HasPrefix(failing, "no answer") {
		assert.Check(t, is.ErrorIs(err, gone))
	}
	assert.Check(t, err != nil || harmless(s, failing))
	f.heal()
	if err == nil {
		assert.NilError(t, v.undo(f))
		f.GC()
	}
	f.works(t, v)
}

func (f *faultyRegistry) shutDown(t *testing.T, v verb, s stage) {
	hit := f.inject(s, "no answer")
	result := make(chan error, 1)
	go func() { result <- v.do(t.Context(), f, io.Discard) }()
	<-hit
	began := time.Now()
	f.Shutdown()
	err := <-result
	fenced := new(plugin.FencedError)
	assert.Check(t, errors.As(err, &fenced), "%v", err)
	assert.Equal(t, time.Since(began), time.Duration(0), "it took time to end")
	close(f.release)
}

func (f *faultyRegistry) leftAlone(t *testing.T, v verb, s stage, failing string) {
	f.inject(s, failing)
	began := time.Now()
	err := v.do(t.Context(), f, io.Discard)
	took := time.Since(began)
	assert.Check(t, errdefs.IsUnavailable(err) || err == nil && harmless(s, failing), "%v", err)
	if failing == "429 of an hour" && err != nil {
		var limited *plugin.RateLimitError
		assert.Check(t, errors.As(err, &limited) && limited.RetryAfter == time.Hour && limited.Host == f.host, "%#v", err)
	}
	longest := 10 * time.Minute
	// Over HTTP/2 a small body can be read, and wait for the server, as a whole.
	isCommit := failing == "no answer to all of it" || failing == "no answer" && f.protocol == http2
	if isCommit && s.method == http.MethodPut {
		longest = 16 * time.Minute
	}
	assert.Check(t, took <= longest, "it took %s: %v", took, err)
	f.heal()
	if err == nil {
		assert.NilError(t, v.undo(f))
		f.GC()
	}
	f.works(t, v)
}

// stuckWriter never writes.
type stuckWriter chan struct{}

func (s stuckWriter) Write([]byte) (int, error) {
	<-s
	return 0, io.ErrClosedPipe
}

// readerGone checks that a client that does not read its progress delays nothing.
func (f *faultyRegistry) readerGone(t *testing.T, v verb) {
	stuck := make(stuckWriter)
	ctx, cancel := context.WithCancel(t.Context())
	began := time.Now()
	assert.NilError(t, v.do(ctx, f, stuck))
	assert.Check(t, time.Since(began) <= 11*time.Second, "it took %s", time.Since(began))
	assert.NilError(t, v.undo(f))
	f.GC()

	hit := f.inject(v.stages[1], "no answer")
	result := make(chan error, 1)
	go func() { result <- v.do(ctx, f, stuck) }()
	<-hit
	began = time.Now()
	cancel()
	assert.Check(t, is.ErrorIs(<-result, context.Canceled))
	assert.Check(t, time.Since(began) <= time.Second, "it took %s", time.Since(began))
	close(stuck)
	f.heal()
	f.works(t, v)
}
