// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
	v2 "github.com/dovetailhq/plugin/v2"
)

// newConnectedWorld returns a world and a registry.
func newConnectedWorld(t *testing.T) (w *world, r *fake.Registry, host string) {
	t.Helper()
	w = newWorld(t)
	r = fake.New()
	host = r.Start(t)
	w.Config.RegistryService = testworld.PlainHTTP{}
	return w.start(), r, host
}

func (w *world) pull(ref, name string, grants types.PluginPrivileges, opts ...plugin.CreateOpt) (progress string, err error) {
	w.T.Helper()
	var out bytes.Buffer
	err = w.Pull(context.Background(), testworld.Named(w.T, ref), name, nil, nil, grants, &out, opts...)
	return out.String(), err
}

func (w *world) push(name string) string {
	w.T.Helper()
	var out bytes.Buffer
	assert.NilError(w.T, w.Push(context.Background(), name, nil, nil, &out))
	return out.String()
}

func (w *world) upgrade(ref, name string, grants types.PluginPrivileges) error {
	w.T.Helper()
	return w.Upgrade(context.Background(), testworld.Named(w.T, ref), name, nil, nil, grants, nil)
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
	w.Create(name, "docker.volumedriver/1.0")
	made, err := w.Get(name)
	assert.NilError(t, err)
	out := w.push(name)
	assert.Check(t, is.Contains(out, "The push refers to repository ["+host+"/group/plugin]"))
	assert.Check(t, is.Contains(out, `"aux":{"Tag":"v1","Digest":"`+made.Manifest.String()))
	_, data := r.Manifest("group/plugin", "v1")
	assert.Check(t, data != nil)
	assert.NilError(t, w.Remove(name, nil))
	w.GC()
	assert.Equal(t, len(w.Blobs()), 0)

	asked, err := w.Privileges(context.Background(), testworld.Named(t, name), nil, nil)
	assert.NilError(t, err)
	assert.DeepEqual(t, asked, types.PluginPrivileges{{Name: "network", Description: "permissions to access a network", Value: []string{"none"}}})
	r.Requests()
	_, err = w.pull(name, "alias", nil)
	assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
	assert.Check(t, is.ErrorContains(err, "not granted: network: [none]"))
	assert.Equal(t, count(r.Requests(), "GET", made.Blobsums[0].Encoded()), 0, "a layer was requested before grants were checked")

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
	w.MustEnable("alias")

	r.Requests()
	_, err = w.pull(name, "second", asked)
	assert.NilError(t, err)
	requests := r.Requests()
	assert.Equal(t, count(requests, "GET", "/blobs/"), 0, "stored content was requested: %v", requests)
	assert.Equal(t, count(requests, "HEAD", "/blobs/"), 0, "stored content was requested: %v", requests)
	w.restart()
	assert.Check(t, w.Enabled("alias"))
}

// TestRootfsKeepsItsOwnMetadata: the rootfs has the mode of the directory that it
// was created from, also after a pull.
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
	grants, err := w.Privileges(context.Background(), testworld.Named(t, name), nil, nil)
	assert.NilError(t, err)
	assert.NilError(t, w.Remove(name, nil))
	_, err = w.pull(name, "", grants)
	assert.NilError(t, err)
	check()
	w.MustEnable(name)
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
	w.Create(repository + ":v1")
	w.push(repository + ":v1")
	made, err := w.Get(repository + ":v1")
	assert.NilError(t, err)
	id := made.GetID()
	digest := "@" + made.Manifest.String()
	grants, err := w.Privileges(context.Background(), testworld.Named(t, repository+digest), nil, nil)
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
			assert.Check(t, errdefs.IsNotFound(err), "%s: %v", ref, err)
			continue
		}
		assert.NilError(t, err, ref)
		assert.Equal(t, p.Name, want)
	}
	_, err = w.Inspect(repository + digest)
	assert.Check(t, is.ErrorType(err, &plugin.AmbiguousError{}), "two plugins have it")
	assert.NilError(t, w.Remove(repository+":v1", nil))
	p, err := w.Inspect(repository + digest)
	assert.NilError(t, err)
	assert.Check(t, strings.HasSuffix(p.PluginReference, digest), "the reference lacks the digest")
}

const fullID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestPullFailuresLeaveNothing(t *testing.T) {
	w, r, host := newConnectedWorld(t)
	name := host + "/group/plugin:v1"
	w.Create(name)
	w.push(name)
	p, err := w.Get(name)
	assert.NilError(t, err)
	layer := p.Blobsums[0]
	grants, err := w.Privileges(context.Background(), testworld.Named(t, name), nil, nil)
	assert.NilError(t, err)
	assert.NilError(t, w.Remove(name, nil))
	w.GC()
	before := w.Tree()
	for _, tc := range []struct {
		name, method, path string
		fault              fake.Fault
		want               func(error) bool
	}{
		{"manifest missing", "", "/manifests/", fake.Refuse(http.StatusNotFound), errdefs.IsNotFound},
		{"unauthorized", "", "/manifests/", fake.Refuse(http.StatusUnauthorized), errdefs.IsUnauthorized},
		{"forbidden", "", "/manifests/", fake.Refuse(http.StatusForbidden), errdefs.IsPermissionDenied},
		{"layer lies", "GET", layer.Encoded(), fake.Lie([]byte("something else")), errdefs.IsDataLoss},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r.Inject(tc.method, tc.path, 0, tc.fault)
			defer r.Heal()
			_, err := w.pull(name, "", grants)
			assert.Check(t, tc.want(err), "%v", err)
			assert.Check(t, is.ErrorContains(err, host))
			w.GC()
			assert.DeepEqual(t, w.Tree(), before)
		})
	}
	_, err = w.pull(name, "", grants)
	assert.NilError(t, err)
	_, err = w.pull(name, "", grants)
	assert.Check(t, is.ErrorType(err, &plugin.ExistsError{}))
}

// holdFirst returns a fault that delays answers until release is closed or the
// client disconnects. The first request closes reached.
func holdFirst(release <-chan struct{}) (hold fake.Fault, reached <-chan struct{}) {
	first := make(chan struct{})
	note := sync.OnceFunc(func() { close(first) })
	return func(next http.Handler) http.Handler {
		held := fake.Hold(release)(next)
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			note()
			held.ServeHTTP(w, request)
		})
	}, first
}

func TestShutdownInterruptsPull(t *testing.T) {
	w, r, host := newConnectedWorld(t)
	name := host + "/group/plugin:v1"
	w.Create(name)
	w.push(name)
	p, err := w.Get(name)
	assert.NilError(t, err)
	grants, err := w.Privileges(context.Background(), testworld.Named(t, name), nil, nil)
	assert.NilError(t, err)
	assert.NilError(t, w.Remove(name, nil))
	w.GC()
	hold, held := holdFirst(nil)
	r.Inject("GET", p.Blobsums[0].Encoded(), 0, hold)
	result := make(chan error)
	go func() {
		_, err := w.pull(name, "", grants)
		result <- err
	}()
	<-held
	other := w.Create("other") // a stalled pull delays no other verb
	w.MustEnable(other)
	w.GC()
	w.Shutdown()
	var fenced *plugin.FencedError
	err = <-result
	assert.Check(t, errors.As(err, &fenced), "%v", err)
}

// version creates a version of a plugin, as its author does, and pushes it.
func (w *world) version(ref, level string, settable bool) types.PluginPrivileges {
	w.T.Helper()
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Env = []types.PluginEnv{{Name: "LEVEL", Value: &level}, {Name: "OTHER", Value: &level}}
	if settable {
		config.Env[0].Settable = []string{"value"}
	}
	assert.NilError(w.T, w.CreateConfig(ref, config))
	w.push(ref)
	assert.NilError(w.T, w.Remove(ref, nil))
	grants, err := w.Privileges(context.Background(), testworld.Named(w.T, ref), nil, nil)
	assert.NilError(w.T, err)
	return grants
}

// upgradable is a disabled plugin with a setting and data, and three versions of it
// in a registry. The setting is not settable in v3.
type upgradable struct {
	*world
	registry   *fake.Registry
	v1, v2, v3 string
	grants     types.PluginPrivileges
	id, data   string
}

func newUpgradable(t *testing.T) upgradable {
	t.Helper()
	w, r, host := newConnectedWorld(t)
	u := upgradable{world: w, registry: r, v1: host + "/group/plugin:v1", v2: host + "/group/plugin:v2", v3: host + "/group/plugin:v3"}
	u.grants = w.version(u.v1, "1", true)
	w.version(u.v2, "2", true)
	w.version(u.v3, "3", false)
	_, err := w.pull(u.v1, "mine", u.grants)
	assert.NilError(t, err)
	assert.NilError(t, w.Set("mine", []string{"LEVEL=9"}))
	u.id = w.ID("mine")
	u.data = filepath.Join(w.Config.Root, u.id, "propagated-mount", "precious")
	assert.NilError(t, os.MkdirAll(u.data, 0o755))
	return u
}

// TestUpgradeKeepsThePlugin upgrades a plugin. Its ID, name, settings and data
// stay, after a restart of the manager and a collection as well.
func TestUpgradeKeepsThePlugin(t *testing.T) {
	u := newUpgradable(t)
	events, cancel := u.SubscribeEvents(10, plugin.EventUpgraded{})
	defer cancel()
	assert.NilError(t, u.upgrade(u.v2, "mine", u.grants))
	assert.Equal(t, (<-events).(plugin.EventUpgraded).Plugin.ID, u.id)
	for range 2 {
		p, err := u.Get("mine")
		assert.NilError(t, err)
		assert.Equal(t, p.GetID(), u.id)
		assert.Equal(t, p.Name(), "mine:latest")
		assert.DeepEqual(t, p.PluginObj.Settings.Env, []string{"LEVEL=9", "OTHER=2"})
		assert.Equal(t, p.PluginObj.PluginReference, u.v2)
		u.isVersion(u.v2)
		_, err = os.Stat(u.data)
		assert.NilError(t, err)
		u.GC()
		assert.Equal(t, len(u.Blobs()), 3, "old blobs stay, or new ones went")
		u.restart()
	}
	u.MustEnable("mine")
}

// TestUpgradeRefused refuses upgrades, which change nothing.
func TestUpgradeRefused(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(u upgradable)
		version func(u upgradable) string
		grants  bool
		want    func(t *testing.T, err error)
	}{
		{"an enabled plugin", func(u upgradable) { u.MustEnable("mine") }, second, true, func(t *testing.T, err error) {
			var enabled *plugin.EnabledError
			assert.Check(t, errors.As(err, &enabled))
			assert.Check(t, is.Error(err, "plugin must be disabled before upgrading: plugin mine:latest is enabled"))
		}},
		{"no grants", nil, second, false, func(t *testing.T, err error) {
			assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
		}},
		{"lost settings", nil, func(u upgradable) string { return u.v3 }, true, func(t *testing.T, err error) {
			var lost *v2.LostSettingsError
			assert.Assert(t, errors.As(err, &lost), "%v", err)
			assert.DeepEqual(t, lost.Settings, []string{"LEVEL"})
		}},
		{"a layer that the registry withholds", func(u upgradable) {
			u.registry.Inject("GET", "/blobs/", 0, fake.Refuse(http.StatusForbidden))
		}, second, true, func(t *testing.T, err error) {
			assert.Check(t, errdefs.IsPermissionDenied(err), "%v", err)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := newUpgradable(t)
			if tc.prepare != nil {
				tc.prepare(u)
			}
			before, err := u.Inspect("mine")
			assert.NilError(t, err)
			grants := u.grants
			if !tc.grants {
				grants = nil
			}
			tc.want(t, u.upgrade(tc.version(u), "mine", grants))
			for range 2 {
				now, err := u.Inspect("mine")
				assert.NilError(t, err)
				assert.DeepEqual(t, now, before)
				u.isVersion(u.v1)
				u.restart()
			}
		})
	}
}

func second(u upgradable) string { return u.v2 }

// isVersion checks which version's files the plugin has.
func (u upgradable) isVersion(want string) {
	u.T.Helper()
	name, err := os.ReadFile(filepath.Join(u.Config.Root, u.id, "rootfs", "etc", "name"))
	assert.NilError(u.T, err)
	assert.Equal(u.T, string(name), want)
}

func TestVerbsAreRefusedDuringUpgrade(t *testing.T) {
	w, r, host := newConnectedWorld(t)
	v1, v2ref := host+"/group/plugin:v1", host+"/group/plugin:v2"
	grants := w.version(v1, "1", true)
	w.version(v2ref, "2", true)
	_, err := w.pull(v1, "mine", grants)
	assert.NilError(t, err)
	w.GC()
	release := make(chan struct{})
	hold, asked := holdFirst(release)
	r.Inject("GET", "/manifests/v2", 1, hold)
	r.Inject("HEAD", "/manifests/v2", 1, hold)
	result := make(chan error)
	go func() { result <- w.upgrade(v2ref, "mine", grants) }()
	<-asked
	var busy *plugin.BusyError
	held, free := testworld.HoldOperation(w.Manager, "mine")
	assert.Assert(t, free, "the upgrade holds the lock while it waits for a registry")
	held()
	assert.Check(t, errors.As(w.Enable("mine", nil), &busy))
	assert.Check(t, errors.As(w.Remove("mine", nil), &busy))
	assert.Check(t, errors.As(w.Set("mine", nil), &busy))
	assert.Check(t, errors.As(w.upgrade(v2ref, "mine", grants), &busy))
	assert.Equal(t, w.MustStatus("mine").State, "upgrading")
	close(release)
	assert.NilError(t, <-result)
	w.MustEnable("mine")
}

// TestVerbsQueuedWithAnUpgrade makes verbs and an upgrade wait for the same verb.
// Verbs after the upgrade are refused, and do not wait for a registry.
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
		finish, free := testworld.HoldOperation(w.Manager, "mine")
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

// TestPushWithoutManifest pushes a plugin from docker's root. Docker's collection
// deletes manifests.
func TestPushWithoutManifest(t *testing.T) {
	w, r, host := newConnectedWorld(t)
	name := host + "/group/plugin:v1"
	w.Create(name)
	p, err := w.Get(name)
	assert.NilError(t, err)
	assert.NilError(t, os.Remove(filepath.Join(w.Config.Root, "storage", "blobs", "sha256", p.Manifest.Encoded())))
	w.push(name)
	_, data := r.Manifest("group/plugin", p.Manifest.String())
	assert.Check(t, data != nil, "the manifest that was made again has another digest")
}

func TestTransferWithoutRegistryService(t *testing.T) {
	w := newWorld(t).start()
	w.Create("p")
	var unsupported *plugin.UnsupportedError
	_, err := w.pull("x", "", nil)
	assert.Check(t, errors.As(err, &unsupported))
	assert.Check(t, errors.As(w.Push(context.Background(), "p", nil, nil, nil), &unsupported))
	_, err = w.Privileges(context.Background(), testworld.Named(t, "x"), nil, nil)
	assert.Check(t, errors.As(err, &unsupported))
}

// TestWarningsAreShown installs a plugin with options that docker ignores.
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
	assert.NilError(t, w.CreateConfig(ref, config))
	w.push(ref)
	assert.NilError(t, w.Remove(ref, nil))
	grants, err := w.Privileges(t.Context(), testworld.Named(t, ref), nil, nil)
	assert.NilError(t, err)
	progress, err := w.pull(ref, "mine", grants)
	assert.NilError(t, err)
	assert.Check(t, is.Contains(progress, `Warning: network.type \"cloud\" is not a documented type`))
	assert.Check(t, is.Contains(progress, `Warning: mounts[0].options \"z\" has no effect on this mount: it is left out`))
	assert.Check(t, is.Contains(progress, "Warning: and 11 more warnings"))
	assert.Check(t, is.Equal(strings.Count(progress, "Warning: "), 21))

	var out bytes.Buffer
	assert.NilError(t, w.Upgrade(t.Context(), testworld.Named(t, ref), "mine", nil, nil, grants, &out))
	assert.Check(t, is.Equal(strings.Count(out.String(), "Warning: "), 21))
}

// TestUpgradeDropsLostSettings upgrades to a version that refuses a setting. The
// upgrade succeeds only if the caller permits dropping the setting.
func TestUpgradeDropsLostSettings(t *testing.T) {
	w, _, host := newConnectedWorld(t)
	v1, v2ref := host+"/group/plugin:v1", host+"/group/plugin:v2"
	grants := w.version(v1, "1", true)
	w.version(v2ref, "2", false)
	_, err := w.pull(v1, "mine", grants)
	assert.NilError(t, err)
	assert.NilError(t, w.Set("mine", []string{"LEVEL=9"}))
	var lost *v2.LostSettingsError
	assert.Check(t, errors.As(w.upgrade(v2ref, "mine", grants), &lost))
	assert.DeepEqual(t, lost.Reasons, []string{"can't be set in the new version"})
	var out bytes.Buffer
	assert.NilError(t, w.Upgrade(plugin.DropLostSettings(t.Context()), testworld.Named(t, v2ref), "mine", nil, nil, grants, &out))
	assert.Check(t, is.Contains(out.String(), "settings are dropped: the new version does not take what was set: LEVEL can't be set in the new version"))
	p, err := w.Inspect("mine")
	assert.NilError(t, err)
	assert.DeepEqual(t, p.Settings.Env, []string{"LEVEL=2", "OTHER=2"})
}

// TestUpgradeToAVersionWithoutASetting restores the default of a setting, as the
// refusal recommends.
func TestUpgradeToAVersionWithoutASetting(t *testing.T) {
	w, _, host := newConnectedWorld(t)
	old, ref := plugintest.Config("docker.volumedriver/1.0"), host+"/group/plugin:v2"
	old.Env = []types.PluginEnv{{Name: "GONE", Settable: []string{"value"}}}
	assert.NilError(t, w.CreateConfig(ref, plugintest.Config("docker.volumedriver/1.0")))
	w.push(ref)
	assert.NilError(t, w.Remove(ref, nil))
	assert.NilError(t, w.CreateConfig("p", old))
	w.MustEnable("p")
	w.restart() // a created plugin can be upgraded from a registry
	assert.NilError(t, w.Disable("p", nil))
	assert.NilError(t, w.Set("p", []string{"GONE=1"}))
	grants, err := w.Privileges(t.Context(), testworld.Named(t, ref), nil, nil)
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
