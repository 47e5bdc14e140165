//go:build linux

package plugin_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/registry"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
	v2 "github.com/dovetailhq/plugin/v2"
)

// endpoints resolves every host to plain http.
type endpoints struct{}

func (endpoints) LookupPullEndpoints(host string) ([]registry.APIEndpoint, error) {
	return []registry.APIEndpoint{{URL: &url.URL{Scheme: "http", Host: host}}}, nil
}

// newConnectedWorld is a world with a registry at its side.
func newConnectedWorld(t *testing.T) (w *world, r *fake.Registry, host string) {
	t.Helper()
	w = newWorld(t)
	r = fake.New()
	host = r.Start(t)
	w.config.RegistryService = endpoints{}
	return w.start(), r, host
}

func named(t testing.TB, text string) reference.Named {
	t.Helper()
	ref, err := reference.ParseNormalizedNamed(text)
	assert.NilError(t, err)
	return ref
}

func (w *world) pull(ref, name string, grants types.PluginPrivileges, opts ...plugin.CreateOpt) (progress string, err error) {
	w.t.Helper()
	var out bytes.Buffer
	err = w.Pull(context.Background(), named(w.t, ref), name, nil, nil, grants, &out, opts...)
	return out.String(), err
}

func (w *world) push(name string) string {
	w.t.Helper()
	var out bytes.Buffer
	assert.NilError(w.t, w.Push(context.Background(), name, nil, nil, &out))
	return out.String()
}

func (w *world) upgrade(ref, name string, grants types.PluginPrivileges) error {
	w.t.Helper()
	return w.Upgrade(context.Background(), named(w.t, ref), name, nil, nil, grants, nil)
}

func count(requests []fake.Request, method, path string) (n int) {
	for _, request := range requests {
		if request.Method == method && strings.Contains(request.Path, path) {
			n++
		}
	}
	return n
}

func TestPushAndPull(t *testing.T) {
	w, r, host := newConnectedWorld(t)
	name := host + "/group/plugin:v1"
	w.create(name, "docker.volumedriver/1.0")
	made, err := w.Get(name)
	assert.NilError(t, err)
	out := w.push(name)
	assert.Check(t, is.Contains(out, "The push refers to repository ["+host+"/group/plugin]"))
	assert.Check(t, is.Contains(out, `"aux":{"Tag":"v1","Digest":"`+made.Manifest.String()))
	_, data := r.Manifest("group/plugin", "v1")
	assert.Check(t, data != nil)
	assert.NilError(t, w.Remove(name, nil))
	w.GC()
	assert.Equal(t, len(w.blobs()), 0)

	asked, err := w.Privileges(context.Background(), named(t, name), nil, nil)
	assert.NilError(t, err)
	assert.DeepEqual(t, asked, types.PluginPrivileges{{Name: "network", Description: "permissions to access a network", Value: []string{"none"}}})
	r.Requests()
	_, err = w.pull(name, "alias", nil)
	assert.Check(t, cerrdefs.IsInvalidArgument(err), "%v", err)
	assert.Check(t, is.ErrorContains(err, "not granted: network: [none]"))
	assert.Equal(t, count(r.Requests(), "GET", made.Blobsums[0].Encoded()), 0, "a layer was asked for before grants were checked")

	out, err = w.pull(name, "alias", asked, plugin.WithEnv([]string{"ADDED=1"}))
	assert.NilError(t, err)
	for _, want := range []string{"Pulling from " + host + "/group/plugin", "Digest: " + made.Manifest.String(), "Download complete"} {
		assert.Check(t, is.Contains(out, want))
	}
	p, err := w.Get("alias")
	assert.NilError(t, err)
	assert.Equal(t, p.Manifest, made.Manifest)
	assert.Equal(t, p.Config, made.Config)
	assert.DeepEqual(t, p.Blobsums, made.Blobsums)
	assert.Equal(t, p.PluginObj.PluginReference, name)
	assert.DeepEqual(t, p.PluginObj.Settings.Env, []string{"ADDED=1"})
	content, err := os.ReadFile(filepath.Join(p.Rootfs, "etc", "name"))
	assert.NilError(t, err)
	assert.Equal(t, string(content), name)
	w.enable("alias")

	r.Requests()
	_, err = w.pull(name, "second", asked)
	assert.NilError(t, err)
	requests := r.Requests()
	assert.Equal(t, count(requests, "GET", "/blobs/"), 0, "what is here was asked for: %v", requests)
	assert.Equal(t, count(requests, "HEAD", "/blobs/"), 0, "what is here was asked for: %v", requests)
	w.restart()
	assert.Check(t, w.enabled("alias"))
}

// The rootfs of a plugin is as private as the directory that it was made of,
// also where it is pulled.
func TestRootfsKeepsItsOwnMetadata(t *testing.T) {
	w, _, host := newConnectedWorld(t)
	name := host + "/group/private:v1"
	modified := time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)
	rewritten := rewrite(t, plugintest.BuildContext(plugintest.Config(), nil), func(header *tar.Header) {
		if header.Typeflag == tar.TypeDir {
			header.Mode, header.Uid, header.Gid, header.ModTime = 0o1750, 12, 34, modified
		}
	})
	assert.NilError(t, w.CreateFromContext(context.Background(), rewritten, &types.PluginCreateOptions{RepoName: name}))
	check := func() {
		t.Helper()
		p, err := w.Get(name)
		assert.NilError(t, err)
		info, err := os.Stat(p.Rootfs)
		assert.NilError(t, err)
		assert.Equal(t, info.Mode(), os.ModeDir|os.ModeSticky|0o750)
		stat := info.Sys().(*syscall.Stat_t)
		assert.DeepEqual(t, []uint32{stat.Uid, stat.Gid}, []uint32{12, 34})
		assert.Check(t, info.ModTime().Equal(modified), "%s", info.ModTime())
	}
	check()
	w.push(name)
	grants, err := w.Privileges(context.Background(), named(t, name), nil, nil)
	assert.NilError(t, err)
	assert.NilError(t, w.Remove(name, nil))
	_, err = w.pull(name, "", grants)
	assert.NilError(t, err)
	check()
	w.enable(name)
}

// rewrite changes the headers of an archive.
func rewrite(t *testing.T, from io.ReadCloser, change func(*tar.Header)) io.ReadCloser {
	t.Helper()
	var to bytes.Buffer
	r, w := tar.NewReader(from), tar.NewWriter(&to)
	for {
		header, err := r.Next()
		if err == io.EOF {
			break
		}
		assert.NilError(t, err)
		change(header)
		assert.NilError(t, w.WriteHeader(header))
		_, err = io.Copy(w, r)
		assert.NilError(t, err)
	}
	assert.NilError(t, w.Close())
	return io.NopCloser(&to)
}

func TestPullByDigest(t *testing.T) {
	w, _, host := newConnectedWorld(t)
	repository := host + "/group/plugin"
	w.create(repository + ":v1")
	w.push(repository + ":v1")
	made, err := w.Get(repository + ":v1")
	assert.NilError(t, err)
	id := made.GetID()
	digest := "@" + made.Manifest.String()
	grants, err := w.Privileges(context.Background(), named(t, repository+digest), nil, nil)
	assert.NilError(t, err)
	assert.NilError(t, w.Remove(id, nil))

	out, err := w.pull(repository+digest, "", grants)
	assert.NilError(t, err)
	assert.Check(t, is.Contains(out, `"status":"Pulling from `+repository+`","id":"`+repository+digest+`"`))
	_, err = w.pull(repository+":v1"+digest, "", grants)
	assert.NilError(t, err)
	for ref, want := range map[string]string{
		repository:                       repository + ":latest",
		repository + ":latest" + digest:  repository + ":latest",
		repository + ":v1":               repository + ":v1",
		repository + ":v1" + digest:      repository + ":v1",
		repository + ":v2" + digest:      "",
		host + "/other/plugin" + digest:  "",
		repository + "@sha256:" + fullID: "",
	} {
		p, err := w.Inspect(ref)
		if want == "" {
			assert.Check(t, cerrdefs.IsNotFound(err), "%s: %v", ref, err)
			continue
		}
		assert.NilError(t, err, ref)
		assert.Equal(t, p.Name, want)
	}
	_, err = w.Inspect(repository + digest)
	assert.Check(t, is.ErrorType(err, &plugin.AmbiguousError{}), "two have it")
	assert.NilError(t, w.Remove(repository+":v1", nil))
	p, err := w.Inspect(repository + digest)
	assert.NilError(t, err)
	assert.Check(t, strings.HasSuffix(p.PluginReference, digest), "the digest is not visible")
}

const fullID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestPullFailuresLeaveNothing(t *testing.T) {
	w, r, host := newConnectedWorld(t)
	name := host + "/group/plugin:v1"
	w.create(name)
	w.push(name)
	p, err := w.Get(name)
	assert.NilError(t, err)
	layer := p.Blobsums[0]
	grants, err := w.Privileges(context.Background(), named(t, name), nil, nil)
	assert.NilError(t, err)
	assert.NilError(t, w.Remove(name, nil))
	w.GC()
	before := w.tree()
	for _, tc := range []struct {
		name, method, path string
		fault              fake.Fault
		want               func(error) bool
	}{
		{"manifest missing", "", "/manifests/", fake.Refuse(http.StatusNotFound), cerrdefs.IsNotFound},
		{"unauthorized", "", "/manifests/", fake.Refuse(http.StatusUnauthorized), cerrdefs.IsUnauthorized},
		{"forbidden", "", "/manifests/", fake.Refuse(http.StatusForbidden), cerrdefs.IsPermissionDenied},
		{"layer lies", "GET", layer.Encoded(), fake.Lie([]byte("something else")), cerrdefs.IsDataLoss},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r.Inject(tc.method, tc.path, 0, tc.fault)
			defer r.Heal()
			_, err := w.pull(name, "", grants)
			assert.Check(t, tc.want(err), "%v", err)
			assert.Check(t, is.ErrorContains(err, host))
			w.GC()
			assert.DeepEqual(t, w.tree(), before)
		})
	}
	_, err = w.pull(name, "", grants)
	assert.NilError(t, err)
	_, err = w.pull(name, "", grants)
	assert.Check(t, is.ErrorType(err, &plugin.ExistsError{}))
}

func TestShutdownInterruptsPull(t *testing.T) {
	w, r, host := newConnectedWorld(t)
	name := host + "/group/plugin:v1"
	w.create(name)
	w.push(name)
	p, err := w.Get(name)
	assert.NilError(t, err)
	grants, err := w.Privileges(context.Background(), named(t, name), nil, nil)
	assert.NilError(t, err)
	assert.NilError(t, w.Remove(name, nil))
	w.GC()
	held := make(chan struct{})
	r.Inject("GET", p.Blobsums[0].Encoded(), 0, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, request *http.Request) {
			close(held)
			<-request.Context().Done()
		})
	})
	result := make(chan error)
	go func() {
		_, err := w.pull(name, "", grants)
		result <- err
	}()
	<-held
	other := w.create("other") // a stalled pull delays nobody
	w.enable(other)
	w.GC()
	w.Shutdown()
	var fenced *plugin.FencedError
	err = <-result
	assert.Check(t, errors.As(err, &fenced), "%v", err)
}

// version makes a plugin of one repository, as its author does, and pushes it.
func (w *world) version(ref, level string, settable bool) types.PluginPrivileges {
	w.t.Helper()
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Env = []types.PluginEnv{{Name: "LEVEL", Value: &level}, {Name: "OTHER", Value: &level}}
	if settable {
		config.Env[0].Settable = []string{"value"}
	}
	assert.NilError(w.t, w.createConfig(ref, config))
	w.push(ref)
	assert.NilError(w.t, w.Remove(ref, nil))
	grants, err := w.Privileges(context.Background(), named(w.t, ref), nil, nil)
	assert.NilError(w.t, err)
	return grants
}

func TestUpgrade(t *testing.T) {
	w, r, host := newConnectedWorld(t)
	v1, v2ref, v3 := host+"/group/plugin:v1", host+"/group/plugin:v2", host+"/group/plugin:v3"
	grants := w.version(v1, "1", true)
	w.version(v2ref, "2", true)
	w.version(v3, "3", false)
	_, err := w.pull(v1, "mine", grants)
	assert.NilError(t, err)
	id := w.id("mine")
	assert.NilError(t, w.Set("mine", []string{"LEVEL=9"}))
	data := filepath.Join(w.config.Root, id, "propagated-mount", "precious")
	assert.NilError(t, os.MkdirAll(data, 0o755))

	w.enable("mine")
	var enabled *plugin.EnabledError
	err = w.upgrade(v2ref, "mine", grants)
	assert.Check(t, errors.As(err, &enabled))
	assert.Check(t, is.Error(err, "plugin must be disabled before upgrading: plugin mine:latest is enabled"))
	assert.NilError(t, w.Disable("mine", nil))

	before, err := w.Inspect("mine")
	assert.NilError(t, err)
	unchanged := func() {
		t.Helper()
		for range 2 {
			now, err := w.Inspect("mine")
			assert.NilError(t, err)
			assert.DeepEqual(t, now, before)
			name, err := os.ReadFile(filepath.Join(w.config.Root, id, "rootfs", "etc", "name"))
			assert.NilError(t, err)
			assert.Equal(t, string(name), v1)
			w.restart()
		}
	}
	assert.Check(t, cerrdefs.IsInvalidArgument(w.upgrade(v2ref, "mine", nil)))
	var lost v2.ErrLostSettings
	assert.Check(t, errors.As(w.upgrade(v3, "mine", grants), &lost))
	assert.DeepEqual(t, lost.Settings, []string{"LEVEL"})
	r.Inject("GET", "/blobs/", 0, fake.Refuse(http.StatusForbidden))
	assert.Check(t, w.upgrade(v2ref, "mine", grants) != nil)
	r.Heal()
	unchanged()

	events, cancel := w.SubscribeEvents(10, plugin.EventUpgraded{})
	defer cancel()
	assert.NilError(t, w.upgrade(v2ref, "mine", grants))
	assert.Equal(t, (<-events).(plugin.EventUpgraded).Plugin.ID, id)
	for range 2 {
		p, err := w.Get("mine")
		assert.NilError(t, err)
		assert.Equal(t, p.GetID(), id)
		assert.Equal(t, p.Name(), "mine:latest")
		assert.DeepEqual(t, p.PluginObj.Settings.Env, []string{"LEVEL=9", "OTHER=2"})
		assert.Equal(t, p.PluginObj.PluginReference, v2ref)
		name, err := os.ReadFile(filepath.Join(p.Rootfs, "etc", "name"))
		assert.NilError(t, err)
		assert.Equal(t, string(name), v2ref)
		_, err = os.Stat(data)
		assert.NilError(t, err)
		w.GC()
		assert.Equal(t, len(w.blobs()), 3, "old blobs stay, or new ones went")
		w.restart()
	}
	w.enable("mine")
}

func TestVerbsAreRefusedDuringUpgrade(t *testing.T) {
	w, r, host := newConnectedWorld(t)
	v1, v2ref := host+"/group/plugin:v1", host+"/group/plugin:v2"
	grants := w.version(v1, "1", true)
	w.version(v2ref, "2", true)
	_, err := w.pull(v1, "mine", grants)
	assert.NilError(t, err)
	w.GC()
	asked, release := make(chan struct{}), make(chan struct{})
	r.Inject("GET", "/manifests/v2", 1, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, request *http.Request) {
			close(asked)
			<-release
			next.ServeHTTP(rw, request)
		})
	})
	r.Inject("HEAD", "/manifests/v2", 1, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, request *http.Request) {
			close(asked)
			<-release
			next.ServeHTTP(rw, request)
		})
	})
	result := make(chan error)
	go func() { result <- w.upgrade(v2ref, "mine", grants) }()
	<-asked
	var busy *plugin.BusyError
	held, free := w.HoldOperation("mine")
	assert.Assert(t, free, "the upgrade holds the lock while it waits for a registry")
	held()
	assert.Check(t, errors.As(w.Enable("mine", nil), &busy))
	assert.Check(t, errors.As(w.Remove("mine", nil), &busy))
	assert.Check(t, errors.As(w.Set("mine", nil), &busy))
	assert.Check(t, errors.As(w.upgrade(v2ref, "mine", grants), &busy))
	assert.Equal(t, w.status("mine").State, "upgrading")
	close(release)
	assert.NilError(t, <-result)
	w.enable("mine")
}

// TestVerbsQueuedWithAnUpgrade lets verbs and an upgrade wait for the same verb:
// those that come after the upgrade are refused, they do not wait for a registry.
func TestVerbsQueuedWithAnUpgrade(t *testing.T) {
	w, r, host := newConnectedWorld(t)
	v1, v2ref := host+"/group/plugin:v1", host+"/group/plugin:v2"
	grants := w.version(v1, "1", true)
	w.version(v2ref, "2", true)
	for range 20 {
		_, err := w.pull(v1, "mine", grants)
		assert.NilError(t, err)
		release := make(chan struct{})
		r.Inject("", "/manifests/v2", 0, fake.Hold(release))
		finish, free := w.HoldOperation("mine")
		assert.Assert(t, free)
		upgraded, set := make(chan error, 1), make(chan error, 4)
		for range cap(set) {
			go func() { set <- w.Set("mine", []string{"LEVEL=2"}) }()
		}
		go func() { upgraded <- w.upgrade(v2ref, "mine", grants) }()
		finish()
		for range cap(set) {
			err := <-set
			var busy *plugin.BusyError
			assert.Check(t, err == nil || errors.As(err, &busy), "%v", err)
		}
		assert.Equal(t, len(upgraded), 0)
		close(release)
		assert.NilError(t, <-upgraded)
		r.Heal()
		assert.NilError(t, w.Remove("mine", nil))
		w.GC()
	}
}

// TestPushWithoutManifest has a plugin that docker kept: its own collection
// deletes manifests.
func TestPushWithoutManifest(t *testing.T) {
	w, r, host := newConnectedWorld(t)
	name := host + "/group/plugin:v1"
	w.create(name)
	p, err := w.Get(name)
	assert.NilError(t, err)
	assert.NilError(t, os.Remove(filepath.Join(w.config.Root, "storage", "blobs", "sha256", p.Manifest.Encoded())))
	w.push(name)
	_, data := r.Manifest("group/plugin", p.Manifest.String())
	assert.Check(t, data != nil, "the manifest that was made again has another digest")
}

func TestTransferWithoutRegistryService(t *testing.T) {
	w := newWorld(t).start()
	w.create("p")
	var unsupported *plugin.UnsupportedError
	_, err := w.pull("x", "", nil)
	assert.Check(t, errors.As(err, &unsupported))
	assert.Check(t, errors.As(w.Push(context.Background(), "p", nil, nil, nil), &unsupported))
	_, err = w.Privileges(context.Background(), named(t, "x"), nil, nil)
	assert.Check(t, errors.As(err, &unsupported))
}

// TestWarningsAreShown installs what docker runs and does not mean what it says.
func TestWarningsAreShown(t *testing.T) {
	w, _, host := newConnectedWorld(t)
	source, ref := "/srv", host+"/group/odd:v1"
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Network.Type = "cloud"
	for i := range 30 {
		config.Mounts = append(config.Mounts, types.PluginMount{
			Name: "m", Type: "bind", Source: &source, Destination: fmt.Sprintf("/m%d", i), Options: []string{"rbind", "z"},
		})
	}
	assert.NilError(t, w.createConfig(ref, config))
	w.push(ref)
	assert.NilError(t, w.Remove(ref, nil))
	grants, err := w.Privileges(t.Context(), named(t, ref), nil, nil)
	assert.NilError(t, err)
	progress, err := w.pull(ref, "mine", grants)
	assert.NilError(t, err)
	assert.Check(t, is.Contains(progress, `Warning: network.type \"cloud\" is no type that docker documents`))
	assert.Check(t, is.Contains(progress, `Warning: mounts[0].options \"z\" means nothing to this mount: it is left out`))
	assert.Check(t, is.Contains(progress, "Warning: and 11 more warnings"))
	assert.Check(t, is.Equal(strings.Count(progress, "Warning: "), 21))

	var out bytes.Buffer
	assert.NilError(t, w.Upgrade(t.Context(), named(t, ref), "mine", nil, nil, grants, &out))
	assert.Check(t, is.Equal(strings.Count(out.String(), "Warning: "), 21))
}

// TestUpgradeDropsLostSettings upgrades to what refuses a setting: not before the
// caller says that it may be dropped.
func TestUpgradeDropsLostSettings(t *testing.T) {
	w, _, host := newConnectedWorld(t)
	v1, v2ref := host+"/group/plugin:v1", host+"/group/plugin:v2"
	grants := w.version(v1, "1", true)
	w.version(v2ref, "2", false)
	_, err := w.pull(v1, "mine", grants)
	assert.NilError(t, err)
	assert.NilError(t, w.Set("mine", []string{"LEVEL=9"}))
	var lost v2.ErrLostSettings
	assert.Check(t, errors.As(w.upgrade(v2ref, "mine", grants), &lost))
	assert.DeepEqual(t, lost.Reasons, []string{"can't be set in the new version"})
	var out bytes.Buffer
	assert.NilError(t, w.Upgrade(plugin.DropLostSettings(t.Context()), named(t, v2ref), "mine", nil, nil, grants, &out))
	assert.Check(t, is.Contains(out.String(), "settings are dropped: the new version does not take what was set: LEVEL can't be set in the new version"))
	p, err := w.Inspect("mine")
	assert.NilError(t, err)
	assert.DeepEqual(t, p.Settings.Env, []string{"LEVEL=2", "OTHER=2"})
}

// TestUpgradeToAVersionWithoutASetting takes back what was set, as the refusal
// says.
func TestUpgradeToAVersionWithoutASetting(t *testing.T) {
	w, _, host := newConnectedWorld(t)
	old, ref := plugintest.Config("docker.volumedriver/1.0"), host+"/group/plugin:v2"
	old.Env = []types.PluginEnv{{Name: "GONE", Settable: []string{"value"}}}
	assert.NilError(t, w.createConfig(ref, plugintest.Config("docker.volumedriver/1.0")))
	w.push(ref)
	assert.NilError(t, w.Remove(ref, nil))
	assert.NilError(t, w.createConfig("p", old))
	w.enable("p")
	w.restart() // a plugin that was made here upgrades from a registry
	assert.NilError(t, w.Disable("p", nil))
	assert.NilError(t, w.Set("p", []string{"GONE=1"}))
	grants, err := w.Privileges(t.Context(), named(t, ref), nil, nil)
	assert.NilError(t, err)
	assert.Check(t, is.ErrorContains(w.upgrade(ref, "p", grants), "GONE is not in the new version; set the default again first, with NAME= where there is none"))
	assert.NilError(t, w.Set("p", []string{"GONE="}))
	assert.NilError(t, w.upgrade(ref, "p", grants))
	p, err := w.Inspect("p")
	assert.NilError(t, err)
	assert.Equal(t, p.PluginReference, ref)
	assert.Check(t, is.Len(p.Settings.Env, 0))
}

// TestAliasInAnotherRegistry pushes a plugin under its alias, and installs it from
// there.
func TestAliasInAnotherRegistry(t *testing.T) {
	w, _, host := newConnectedWorld(t)
	other := fake.New().Start(t)
	first, alias := host+"/a/p:v1", other+"/mirror/p:v9"
	grants := w.version(first, "1", true)
	_, err := w.pull(first, alias, grants)
	assert.NilError(t, err)
	before, err := w.Get(alias)
	assert.NilError(t, err)
	w.push(alias)
	assert.NilError(t, w.Remove(alias, nil))
	w.GC()
	_, err = w.pull(alias, "", grants)
	assert.NilError(t, err)
	after, err := w.Get(alias)
	assert.NilError(t, err)
	assert.Equal(t, after.Manifest, before.Manifest)
}
