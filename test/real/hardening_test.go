//go:build linux

package plugin_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
)

// newHardened is a world with real runc whose plugins are hardened by h.
func newHardened(t *testing.T, h plugin.Hardening) *world {
	t.Helper()
	w := newRuncWorld(t)
	w.config.Hardening = h
	return w.start()
}

// ask starts a probe of a capability that takes steps, and returns what it
// printed.
func (w *world) ask(capability string, change func(*types.PluginConfig), steps ...string) []string {
	w.t.Helper()
	id := w.createProbeAs("asked", func(c *types.PluginConfig) {
		c.Interface.Types = plugintest.Config(capability).Interface.Types
		change(c)
	}, append(steps, listenStep, "wait=")...)
	w.enable(id)
	assert.NilError(w.t, w.Disable(id, nil)) // its output is whole then
	said := w.logs(id, plugin.LogOptions{})
	assert.NilError(w.t, w.Remove(id, nil))
	for i := range said {
		said[i] = strings.TrimPrefix(said[i], "stdout ")
	}
	return said
}

func unchanged(*types.PluginConfig) {}

func administrator(c *types.PluginConfig) { c.Linux.Capabilities = []string{"CAP_SYS_ADMIN"} }

const volumes = "docker.volumedriver/1.0"

// Of capabilities: docker's fourteen, and with CAP_SYS_ADMIN.
const (
	defaultCapabilities = "CapEff: 00000000a80425fb"
	andSysAdmin         = "CapEff: 00000000a82425fb"
)

// TestWhatPluginsMay asks real plugins what they may do.
func TestWhatPluginsMay(t *testing.T) {
	look := []string{"status=CapEff", "status=NoNewPrivs", "status=Seccomp", "unshare=", "try=/file"}
	for _, tc := range []struct {
		name   string
		h      plugin.Hardening
		change func(*types.PluginConfig)
		want   []string
	}{
		{
			"docker's default", plugin.Hardening{}, unchanged,
			[]string{defaultCapabilities, "NoNewPrivs: 0", "Seccomp: 0", "unshare: ok", "/file: ok"},
		},
		{
			"filtered", plugin.Hardening{Seccomp: plugin.SeccompDefault}, unchanged,
			[]string{defaultCapabilities, "NoNewPrivs: 0", "Seccomp: 2", "unshare: operation not permitted", "/file: ok"},
		},
		{
			"an administrator is not filtered", plugin.Hardening{Seccomp: plugin.SeccompDefault}, administrator,
			[]string{andSysAdmin, "NoNewPrivs: 0", "Seccomp: 0", "unshare: ok", "/file: ok"},
		},
		{
			"but for what it needs, with everybody", plugin.Hardening{Seccomp: plugin.SeccompAll}, administrator,
			[]string{andSysAdmin, "NoNewPrivs: 0", "Seccomp: 2", "unshare: ok", "/file: ok"},
		},
		{
			"strict", plugin.Hardening{Seccomp: plugin.SeccompAll, NoNewPrivileges: true, ReadonlyRootfs: true}, unchanged,
			[]string{defaultCapabilities, "NoNewPrivs: 1", "Seccomp: 2", "unshare: operation not permitted", "/file: read-only file system"},
		},
		{
			"a user of its own", plugin.Hardening{},
			func(c *types.PluginConfig) { c.User = types.PluginConfigUser{UID: 1000, GID: 1000} },
			[]string{"CapEff: 0000000000000000", "NoNewPrivs: 0", "Seccomp: 0", "unshare: ok", "/file: permission denied"},
		},
		{
			"apparmor, where there is none", plugin.Hardening{AppArmorProfile: "unconfined"}, unchanged,
			[]string{defaultCapabilities, "NoNewPrivs: 0", "Seccomp: 0", "unshare: ok", "/file: ok"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.DeepEqual(t, newHardened(t, tc.h).ask(volumes, tc.change, look...), tc.want)
		})
	}
}

// TestLimitsReachTheKernel reads the limits where the kernel keeps them.
func TestLimitsReachTheKernel(t *testing.T) {
	score := 250
	memory, pids, quota := "memory/memory.limit_in_bytes", "pids/pids.max", "cpu/cpu.cfs_quota_us"
	wantQuota := "50000"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil { // cgroups v2
		memory, pids, quota = "memory.max", "pids.max", "cpu.max"
		wantQuota = "50000 100000"
	}
	t.Cleanup(func() { removeCgroup(t, "dovetail-test") })
	w := newHardened(t, plugin.Hardening{
		MemoryBytes: 64 << 20, CPUs: 0.5, Pids: 50, OOMScoreAdj: &score, CgroupParent: "/dovetail-test",
	})
	said := w.ask(volumes, unchanged,
		"cat=/sys/fs/cgroup/"+memory, "cat=/sys/fs/cgroup/"+pids, "cat=/sys/fs/cgroup/"+quota,
		"cat=/proc/self/oom_score_adj", "cat=/proc/self/cgroup")
	assert.DeepEqual(t, said[:4], []string{"67108864", "50", wantQuota, "250"})
	for _, line := range said[4:] {
		if strings.Contains(line, ":memory:") || strings.HasPrefix(line, "0::/dovetail") {
			assert.Check(t, is.Contains(line, ":/dovetail-test/"), "it is in another cgroup")
		}
	}
}

// removeCgroup removes what is left of a cgroup parent, which the runtime
// makes, and never removes.
func removeCgroup(t *testing.T, name string) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		left, err := filepath.Glob(pattern + name)
		assert.NilError(t, err)
		for _, dir := range left {
			assert.Check(t, unix.Rmdir(dir), "something is left in %s", dir)
		}
	}
}

func TestMemoryLimitEndsPlugin(t *testing.T) {
	w := newHardened(t, plugin.Hardening{MemoryBytes: 32 << 20})
	id := w.createProbe("greedy", "eat=64", listenStep, "wait=")
	err := w.Enable(id, nil)
	var start *plugin.StartError
	assert.Assert(t, errors.As(err, &start), "%v", err)
	assert.Check(t, start.OOMKilled, "%v", err)
}

// TestWantOfMemoryIsTold has a plugin end so when it has long been ready.
func TestWantOfMemoryIsTold(t *testing.T) {
	w := newHardened(t, plugin.Hardening{MemoryBytes: 32 << 20})
	id := w.createProbe("greedy", listenStep, "step=/go", "eat=64", "wait=")
	path := filepath.Join(w.config.Root, id, "rootfs", "go")
	assert.NilError(t, unix.Mkfifo(path, 0o600))
	gate, err := os.OpenFile(path, os.O_RDWR, 0)
	assert.NilError(t, err)
	t.Cleanup(func() { gate.Close() })
	w.enable(id)
	events, cancel := w.SubscribeEvents(1, plugin.EventExited{})
	defer cancel()
	_, err = gate.Write([]byte{1})
	assert.NilError(t, err)
	exit := (<-events).(plugin.EventExited).Exit
	assert.Equal(t, exit.Code, 128+9)
	assert.Check(t, exit.OOMKilled)
	assert.Check(t, w.status(id).LastExit.OOMKilled)
	assert.NilError(t, w.Disable(id, nil))
}

// TestRuntimeOptionsHaveTheLastWord holds one capability tighter than the
// rest, and spares another.
func TestRuntimeOptionsHaveTheLastWord(t *testing.T) {
	w := newHardened(t, plugin.Hardening{Seccomp: plugin.SeccompAll})
	w.config.Store.RegisterRuntimeOpt("volumedriver", plugin.WithHardening(plugin.Hardening{NoNewPrivileges: true, ReadonlyRootfs: true}))
	w.config.Store.RegisterRuntimeOpt("logdriver", func(s *specs.Spec) { s.Linux.Seccomp = nil })
	look := []string{"status=NoNewPrivs", "status=Seccomp", "try=/file"}
	assert.DeepEqual(t, w.ask(volumes, unchanged, look...), []string{"NoNewPrivs: 1", "Seccomp: 2", "/file: read-only file system"})
	assert.DeepEqual(t, w.ask("docker.logdriver/1.0", unchanged, look...), []string{"NoNewPrivs: 0", "Seccomp: 0", "/file: ok"})
	assert.DeepEqual(t, w.ask("docker.networkdriver/1.0", unchanged, look...), []string{"NoNewPrivs: 0", "Seccomp: 2", "/file: ok"})
}
