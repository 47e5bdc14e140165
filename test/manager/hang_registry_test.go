package plugin_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	registrytypes "github.com/docker/docker/api/types/registry"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/memnet"
	"github.com/dovetailhq/plugin/plugintest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// faultyRegistry is a manager, in virtual time, beside a registry that a test
// makes fail.
type faultyRegistry struct {
	*plugin.Manager
	registry *fake.Registry
	host     string
	grants   types.PluginPrivileges
	release  chan struct{} // ends the faults
}

// verb is what a manager does with a registry.
type verb struct {
	name   string
	stages []stage
	do     func(ctx context.Context, f *faultyRegistry, out io.Writer) error
	undo   func(f *faultyRegistry) error
}

// stage is a request of a verb, as the method and the path tell it.
type stage struct{ method, path string }

// hangAccount is the account at the registry of these tests.
var hangAccount = &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}

// verbsOfRegistries lists the verbs with all that they ask a registry.
func verbsOfRegistries(t *testing.T, layer string) []verb {
	ref := func(f *faultyRegistry, version string) string { return f.host + "/group/plugin:" + version }
	asked := []stage{{"", "/token"}, {"HEAD", "/manifests/"}, {"GET", "/manifests/"}, {"GET", "/blobs/"}}
	pulled := append(asked[:len(asked):len(asked)], stage{"GET", layer})
	pushed := []stage{{"", "/token"}, {"HEAD", "/blobs/"}, {"POST", "/uploads/"}, {"PUT", "/uploads/"}, {"HEAD", "/manifests/"}, {"PUT", "/manifests/"}}
	return []verb{
		{"privileges", asked, func(ctx context.Context, f *faultyRegistry, _ io.Writer) error {
			_, err := f.Privileges(ctx, named(t, ref(f, "v2")), nil, hangAccount)
			return err
		}, func(f *faultyRegistry) error { return nil }},
		{"pull", pulled, func(ctx context.Context, f *faultyRegistry, out io.Writer) error {
			return f.Pull(ctx, named(t, ref(f, "v2")), "pulled", nil, hangAccount, f.grants, out)
		}, func(f *faultyRegistry) error { return f.Remove("pulled", nil) }},
		{"upgrade", pulled, func(ctx context.Context, f *faultyRegistry, out io.Writer) error {
			return f.Upgrade(ctx, named(t, ref(f, "v2")), "mine", nil, hangAccount, f.grants, out)
		}, func(f *faultyRegistry) error {
			return f.Upgrade(context.Background(), named(t, ref(f, "v1")), "mine", nil, hangAccount, f.grants, nil)
		}},
		{"push", pushed, func(ctx context.Context, f *faultyRegistry, out io.Writer) error {
			return f.Push(ctx, ref(f, "v1"), nil, hangAccount, out)
		}, func(f *faultyRegistry) error { return nil }},
	}
}

// TestNothingHangsOnARegistry fails each request of each verb in each way that
// keeps a client waiting. A verb ends without any time passing when its context
// ends, or its manager; left alone, it ends within minutes and says that the
// registry is not available. It leaves nothing that spoils the next one.
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

	inBubble := func(t *testing.T, v verb, test func(t *testing.T, f *faultyRegistry)) {
		registry := r
		if v.name == "push" {
			registry = fake.New()
			registry.Auth = r.Auth
		}
		synctest.Test(t, func(t *testing.T) {
			f := &faultyRegistry{registry: registry, host: host, grants: grants, release: make(chan struct{})}
			defer f.start(t, w.config)()
			test(t, f)
		})
	}
	for _, v := range verbsOfRegistries(t, "/blobs/"+other.Blobsums[0].String()) {
		for _, s := range v.stages {
			for _, failing := range []string{"no answer", "no answer to all of it", "half an answer", "429 of an hour", "503 for ever"} {
				t.Run(fmt.Sprintf("%s/%s%s/%s", v.name, s.method, strings.ReplaceAll(s.path, "/", "-"), failing), func(t *testing.T) {
					inBubble(t, v, func(t *testing.T, f *faultyRegistry) { f.cancelled(t, v, s, failing) })
					inBubble(t, v, func(t *testing.T, f *faultyRegistry) { f.leftAlone(t, v, s, failing) })
				})
			}
			t.Run(fmt.Sprintf("%s/%s%s/shutdown", v.name, s.method, strings.ReplaceAll(s.path, "/", "-")), func(t *testing.T) {
				inBubble(t, v, func(t *testing.T, f *faultyRegistry) { f.shutDown(t, v, s) })
			})
		}
		if v.name != "privileges" {
			t.Run(v.name+"/reader gone", func(t *testing.T) {
				inBubble(t, v, func(t *testing.T, f *faultyRegistry) { f.readerGone(t, v) })
			})
		}
	}
}

// largeVersion makes and pushes a plugin that no buffer has room for.
func (w *world) largeVersion(ref string) types.PluginPrivileges {
	w.t.Helper()
	data := make([]byte, 256<<10)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(ref))).Read(data)
	archive := plugintest.BuildContext(plugintest.Config(), map[string]string{"plugin": "a program", "name": ref, "data": string(data)})
	assert.NilError(w.t, w.CreateFromContext(context.Background(), archive, &types.PluginCreateOptions{RepoName: ref}))
	w.push(ref)
	assert.NilError(w.t, w.Remove(ref, nil))
	grants, err := w.Privileges(context.Background(), named(w.t, ref), nil, nil)
	assert.NilError(w.t, err)
	return grants
}

// start starts the manager and the registry, and returns what ends them.
func (f *faultyRegistry) start(t *testing.T, config plugin.ManagerConfig) (end func()) {
	t.Helper()
	config.Store = plugin.NewStore()
	executor := &scripted{scripts: map[string]script{}, runs: map[string]*scriptedRun{}, starts: map[string]int{}}
	config.CreateExecutor = func(*plugin.Manager) (plugin.Executor, error) { return executor, nil }
	pm, err := plugin.NewManagerAwaiting(config, executor.await)
	assert.NilError(t, err)
	f.Manager = pm
	var network memnet.Network
	f.DialRegistries(network.Dial)
	server := &http.Server{Handler: f.registry}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(network.Listen(f.host))
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

// works wants the verb to succeed, and undoes it.
func (f *faultyRegistry) works(t *testing.T, v verb) {
	t.Helper()
	var out bytes.Buffer
	assert.NilError(t, v.do(t.Context(), f, &out))
	assert.NilError(t, v.undo(f))
	f.GC()
}

// harmless are faults that a verb gets around: half of an answer whose body
// is not needed.
func harmless(s stage, failing string) bool {
	return failing == "half an answer" && s.method != http.MethodGet && s.path != "/token"
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
	assert.Check(t, cerrdefs.IsUnavailable(err) || err == nil && harmless(s, failing), "%v", err)
	longest := 10 * time.Minute
	if failing == "no answer to all of it" && s.method == http.MethodPut {
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

// readerGone wants a client that does not read its progress to hold nothing.
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
