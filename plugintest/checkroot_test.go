// SPDX-License-Identifier: Apache-2.0

//go:build linux

package plugintest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/filters"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest"
	v2 "github.com/dovetailhq/plugin/v2"
)

// home is a manager's root with an enabled and a disabled plugin.
type home struct {
	t       *testing.T
	root    string
	on, off string
	manager *plugin.Manager
	check   plugintest.RootCheck
}

func newHome(t *testing.T) *home {
	t.Helper()
	execRoot, err := os.MkdirTemp("", "dt")
	assert.NilError(t, err)
	executor := &plugintest.Executor{}
	h := &home{t: t, root: t.TempDir()}
	h.manager, err = plugin.NewManager(plugin.ManagerConfig{
		Root: h.root, ExecRoot: execRoot,
		CreateExecutor: func(pm *plugin.Manager) (plugin.Executor, error) {
			executor.HandleExits(func(id string) { _ = pm.HandleExitEvent(id) })
			return executor, nil
		},
	})
	assert.NilError(t, err)
	t.Cleanup(func() {
		h.manager.Shutdown()
		executor.KillAll()
		assert.Check(t, os.RemoveAll(execRoot))
	})
	h.check = plugintest.RootCheck{Manager: h.manager, ExecRoot: execRoot, Executor: executor, Collected: true}
	h.on, h.off = h.create("on", nil), h.create("off", nil)
	assert.NilError(t, h.manager.Enable("on", nil))
	return h
}

func (h *home) create(name string, change func(*types.PluginConfig)) (id string) {
	h.t.Helper()
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Description = name
	if change != nil {
		change(&config)
	}
	files := map[string]string{"plugin": "program of " + name, "etc/name": name}
	err := h.manager.CreateFromContext(context.Background(), plugintest.BuildContext(config, files), &types.PluginCreateOptions{RepoName: name})
	assert.NilError(h.t, err)
	p, err := h.manager.Inspect(name)
	assert.NilError(h.t, err)
	return p.ID
}

func (h *home) path(elements ...string) string {
	return filepath.Join(append([]string{h.root}, elements...)...)
}

// record returns the record of id as JSON members.
func (h *home) record(id string) map[string]any {
	h.t.Helper()
	data, err := os.ReadFile(h.path(id, "config.json"))
	assert.NilError(h.t, err)
	var members map[string]any
	assert.NilError(h.t, json.Unmarshal(data, &members))
	return members
}

func (h *home) rewrite(id string, change func(members map[string]any)) {
	h.t.Helper()
	members := h.record(id)
	change(members)
	data, err := json.Marshal(members)
	assert.NilError(h.t, err)
	h.write(string(data), id, "config.json")
}

func (h *home) write(content string, elements ...string) {
	h.t.Helper()
	assert.NilError(h.t, os.MkdirAll(filepath.Dir(h.path(elements...)), 0o755))
	assert.NilError(h.t, os.WriteFile(h.path(elements...), []byte(content), 0o600))
}

func (h *home) blob(member string) string {
	dgst := digest.Digest(fmt.Sprint(h.record(h.off)[member]))
	return h.path("storage", "blobs", "sha256", dgst.Encoded())
}

// layer returns the path of the layer's blob of the disabled plugin.
func (h *home) layer() string {
	dgst := digest.Digest(h.record(h.off)["Blobsums"].([]any)[0].(string))
	return h.path("storage", "blobs", "sha256", dgst.Encoded())
}

func TestCheckRootFindsNothingWrong(t *testing.T) {
	h := newHome(t)
	assert.NilError(t, os.MkdirAll(h.path("lost+found", "x"), 0o700), "what is not the manager's is not its fault")
	h.write("{}", "storage", "ingest", "a", "ref-is-there-below")
	h.write("layer-"+digest.FromString("to be resumed").String(), "storage", "ingest", "a", "ref")
	assert.NilError(t, plugintest.CheckRoot(h.root, h.check))
	assert.NilError(t, plugintest.CheckRoot(h.root, plugintest.RootCheck{}))
	h.write("a log", h.on, "rootfs", "made by the plugin")
	assert.NilError(t, plugintest.CheckRoot(h.root, h.check))

	h.rewrite(h.off, func(m map[string]any) { delete(m, "Blobsums") })
	assert.NilError(t, plugintest.CheckRoot(h.root, plugintest.RootCheck{DockerRecords: true, Collected: true}))

	assert.ErrorIs(t, plugintest.CheckRoot(h.path("absent"), h.check), os.ErrNotExist)
}

// place is where the damage is visible.
type place bool

const (
	disk  place = true
	whole place = false // the disk, next to a manager with another state
)

func TestCheckRootFinds(t *testing.T) {
	other := strings.Repeat("a", 64)
	tests := []struct {
		name   string
		damage func(h *home)
		want   string
		on     place
		also   int // number of additional problems that follow from the damage
	}{
		{"stage", func(h *home) { h.write("", "tmp", "x", "y") }, "stage tmp/x is left", whole, 0},
		{"stage next to the plugins", func(h *home) { h.write("", "stages", "x", "y") }, "stage stages/x is left", whole, 0},
		{"trash", func(h *home) { h.write("", other+"-removing", "config.json") }, other + "-removing is left", whole, 0},
		{"journal", func(h *home) { h.write("", h.off, "upgrade", "config.json") }, "upgrade is left", whole, 0},
		{"temporary record", func(h *home) { h.write("", h.off, "config.json.tmp") }, "config.json.tmp is left", whole, 0},
		{"no record", func(h *home) { assert.NilError(h.t, os.Remove(h.path(h.off, "config.json"))) }, "read record: open", disk, 0},
		{"half a record", func(h *home) { h.write(`{"plugin":`, h.off, "config.json") }, "read record: ", disk, 0},
		{"another's record", func(h *home) {
			h.rewrite(h.off, func(m map[string]any) { m["plugin"].(map[string]any)["Id"] = other })
		}, `the record belongs to plugin "` + other, disk, 0},
		{"no tag", func(h *home) {
			h.rewrite(h.off, func(m map[string]any) { m["plugin"].(map[string]any)["Name"] = "off" })
		}, `"off" is not a name with a tag`, disk, 0},
		{"same name", func(h *home) {
			h.rewrite(h.off, func(m map[string]any) { m["plugin"].(map[string]any)["Name"] = "on:latest" })
		}, "are both named on:latest", disk, 0},
		{"no entrypoint", func(h *home) {
			h.rewrite(h.off, func(m map[string]any) {
				delete(m["plugin"].(map[string]any)["Config"].(map[string]any), "Entrypoint")
			})
		}, "the record has no entrypoint", disk, 1},
		{"config of another version", func(h *home) {
			h.rewrite(h.off, func(m map[string]any) {
				m["plugin"].(map[string]any)["Config"].(map[string]any)["Description"] = "newer"
			})
		}, "the record and config sha256:", disk, 0},
		{"manifest of another version", func(h *home) {
			h.rewrite(h.off, func(m map[string]any) { m["Manifest"] = h.record(h.on)["Manifest"] })
		}, "the record and manifest sha256:", disk, 0},
		{"no digest", func(h *home) {
			h.rewrite(h.off, func(m map[string]any) { m["Manifest"] = "" })
		}, "the record has no manifest digest", disk, 0},
		{"no config digest", func(h *home) {
			h.rewrite(h.off, func(m map[string]any) { delete(m, "Config") })
		}, "the record has no config digest", disk, 1},
		{"no name", func(h *home) {
			h.rewrite(h.off, func(m map[string]any) { delete(m["plugin"].(map[string]any), "Name") })
		}, `"" is not a name with a tag`, disk, 0},
		{"no layers", func(h *home) {
			h.rewrite(h.off, func(m map[string]any) { delete(m, "Blobsums") })
		}, "the record and manifest sha256:", disk, 0},
		{"same id", func(h *home) {
			assert.NilError(h.t, os.CopyFS(h.path(other), os.DirFS(h.path(h.off))))
		}, "plugin " + other + ": the record belongs to plugin", disk, 1},
		{"missing config", func(h *home) { assert.NilError(h.t, os.Remove(h.blob("Config"))) }, "is missing", whole, 0},
		{"missing manifest", func(h *home) { assert.NilError(h.t, os.Remove(h.blob("Manifest"))) }, "is missing", whole, 0},
		{"missing layer", func(h *home) { assert.NilError(h.t, os.Remove(h.layer())) }, "is missing", whole, 0},
		{"corrupt layer", func(h *home) {
			assert.NilError(h.t, os.Chmod(h.layer(), 0o600))
			assert.NilError(h.t, os.Truncate(h.layer(), 10))
		}, "is corrupt: its content does not match the digest", whole, 0},
		{"corrupt blob", func(h *home) {
			assert.NilError(h.t, os.Remove(h.blob("Config")))
			assert.NilError(h.t, os.WriteFile(h.blob("Config"), []byte("{}"), 0o600))
		}, "is corrupt: its content does not match the digest", whole, 0},
		{"not a blob", func(h *home) { h.write("", "storage", "blobs", "sha256", "zz") }, "is not the name of a blob", whole, 0},
		{"garbage", func(h *home) {
			h.write("x", "storage", "blobs", "sha256", digest.FromString("x").Encoded())
		}, "is not referenced by any plugin", whole, 0},
		{"abandoned ingest", func(h *home) { h.write("ingest-x", "storage", "ingest", "a", "ref") }, "ingest a (ingest-x) is left", whole, 0},
		{"ingest without a name", func(h *home) { h.write("", "storage", "ingest", "a", "data") }, "ingest a () is left", whole, 0},
		{"leftover in storage", func(h *home) { h.write("", "storage", ".fsverity-check-1", "x") }, "storage/.fsverity-check-1 is left", whole, 0},
		{"no rootfs", func(h *home) { assert.NilError(h.t, os.RemoveAll(h.path(h.off, "rootfs"))) }, "it has no rootfs", whole, 0},
		{"rootfs that is a file", func(h *home) {
			assert.NilError(h.t, os.RemoveAll(h.path(h.off, "rootfs")))
			h.write("", h.off, "rootfs")
		}, "it has no rootfs", whole, 0},
		{"file of another mode", func(h *home) {
			assert.NilError(h.t, os.Chmod(h.path(h.off, "rootfs", "plugin"), 0o600))
		}, "rootfs/plugin has mode", whole, 0},
		{"missing file", func(h *home) { assert.NilError(h.t, os.Remove(h.path(h.off, "rootfs", "etc", "name"))) }, "rootfs/etc/name is missing", whole, 0},
		{"empty file", func(h *home) { assert.NilError(h.t, os.Truncate(h.path(h.off, "rootfs", "plugin"), 0)) }, "rootfs/plugin has 0 bytes", whole, 0},
		{"unknown to the manager", func(h *home) { assert.NilError(h.t, os.CopyFS(h.path(other), os.DirFS(h.path(h.off)))) }, "does not list plugin " + other[:12], whole, 2},
		{"known to the manager only", func(h *home) { assert.NilError(h.t, os.RemoveAll(h.path(h.off))) }, "which is not on disk", whole, 3},
		{"memory and disk", func(h *home) {
			h.rewrite(h.off, func(m map[string]any) { m["plugin"].(map[string]any)["Enabled"] = true })
		}, "memory and disk differ", whole, 0},
		{"sockets", func(h *home) {
			assert.NilError(h.t, os.Mkdir(filepath.Join(h.check.ExecRoot, h.off), 0o700))
		}, "sockets of plugin", whole, 0},
		{"orphan run", func(h *home) {
			h.rewrite(h.on, func(m map[string]any) { m["plugin"].(map[string]any)["Enabled"] = false })
		}, "runs and is not enabled", whole, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHome(t)
			tt.damage(h)
			if tt.on == disk {
				h.check = plugintest.RootCheck{}
			}
			err := plugintest.CheckRoot(h.root, h.check)
			var found *plugintest.RootError
			assert.Assert(t, errors.As(err, &found), "%v", err)
			assert.ErrorContains(t, found, tt.want)
			assert.Equal(t, len(found.Problems), 1+tt.also, "%v", found)
			assert.Equal(t, found.Root, h.root)
		})
	}
}

func TestCheckRootOfPluginsThatWriteToThemselves(t *testing.T) {
	h := newHome(t)
	h.write("its own data", h.off, "rootfs", "etc", "name")
	err := plugintest.CheckRoot(h.root, h.check)
	assert.ErrorContains(t, err, "rootfs/etc/name has")
	h.check.SelfModifying = true
	assert.NilError(t, plugintest.CheckRoot(h.root, h.check))
}

// deaf is a manager that returns errors only.
type deaf struct{ *plugin.Manager }

var errDeaf = errors.New("deaf")

func (deaf) List(filters.Args) ([]types.Plugin, error) { return nil, errDeaf }

// nameless is a manager that finds plugins by ID only.
type nameless struct{ *plugin.Manager }

func (m nameless) Get(ref string) (*v2.Plugin, error) {
	p, err := m.Manager.Get(ref)
	if err == nil && ref != p.GetID() {
		return nil, errDeaf
	}
	return p, err
}

// forgetful is a manager that lists plugins that it does not find.
type forgetful struct{ *plugin.Manager }

func (forgetful) Get(string) (*v2.Plugin, error) { return nil, errDeaf }

func TestCheckRootOfManagerThatFails(t *testing.T) {
	h := newHome(t)
	for _, manager := range []plugintest.Inventory{deaf{h.manager}, forgetful{h.manager}, nameless{h.manager}} {
		h.check.Manager = manager
		assert.ErrorContains(t, plugintest.CheckRoot(h.root, h.check), "deaf")
	}
}

func TestCheckRootFindsMounts(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	h := newHome(t)
	sharing := h.create("sharing", func(config *types.PluginConfig) { config.PropagatedMount = "/data" })
	mount := func(elements ...string) func() {
		t.Helper()
		target := h.path(elements...)
		assert.NilError(t, os.MkdirAll(target, 0o700))
		assert.NilError(t, unix.Mount("none", target, "tmpfs", 0, ""))
		return func() { assert.NilError(t, unix.Unmount(target, 0)) }
	}
	for _, allowed := range [][]string{{sharing, "propagated-mount", "volume"}, {sharing, "propagated-mount"}, {"storage", "blobs", "sha512"}} {
		unmount := mount(allowed...)
		assert.NilError(t, plugintest.CheckRoot(h.root, h.check), "%v", allowed)
		unmount()
	}
	for _, stray := range [][]string{{h.off, "propagated-mount"}, {sharing, "rootfs", "etc"}} {
		unmount := mount(stray...)
		assert.ErrorContains(t, plugintest.CheckRoot(h.root, h.check), "something is mounted at "+filepath.Join(stray...))
		unmount()
	}
}

func TestCheckRootFindsProcesses(t *testing.T) {
	testenv.NeedsRoot(t, "changing the root directory")
	h := newHome(t)
	live := func(id string) (end func()) {
		t.Helper()
		rootfs := h.path(id, "rootfs")
		// A process in its own mount namespace. Its root is the rootfs, like that
		// of a container.
		script := `mount --bind "$0" "$0" && cd "$0" && mkdir -p old && pivot_root . old && echo ready && read -r end`
		process := exec.Command("/bin/sh", "-c", script, rootfs)
		process.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		in, err := process.StdinPipe()
		assert.NilError(t, err)
		out, err := process.StdoutPipe()
		assert.NilError(t, err)
		assert.NilError(t, process.Start())
		_, err = out.Read(make([]byte, len("ready\n")))
		assert.NilError(t, err)
		return func() {
			_ = in.Close()
			_ = process.Wait()
		}
	}
	end := live(h.on)
	assert.NilError(t, plugintest.CheckRoot(h.root, h.check))
	end()
	end = live(h.off)
	assert.ErrorContains(t, plugintest.CheckRoot(h.root, h.check), "of plugin "+h.off+" is alive")
	end()
	assert.NilError(t, plugintest.CheckRoot(h.root, h.check))
}
