// SPDX-License-Identifier: Apache-2.0

//go:build linux

package real_test

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
	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest"
)

// newHardened returns a world with runc that hardens plugins by h.
func newHardened(t *testing.T, h plugin.Hardening) *testworld.World {
	t.Helper()
	w := newWorld(t)
	w.Config.Hardening = h
	return w.Start()
}

// ask runs a plugin of a capability that executes steps of the probe, and returns
// its output.
func ask(w *testworld.World, capability string, change func(*types.PluginConfig), steps ...string) []string {
	w.T.Helper()
	id := createProbeAs(w, "asked", func(c *types.PluginConfig) {
		c.Interface.Types = plugintest.Config(capability).Interface.Types
		change(c)
	}, append(steps, listenStep, "wait=")...)
	w.MustEnable(id)
	assert.NilError(w.T, w.Disable(id, nil)) // then the output is complete
	said := w.MustLogs(id, plugin.LogOptions{})
	assert.NilError(w.T, w.Remove(id, nil))
	for i := range said {
		said[i] = strings.TrimPrefix(said[i], "stdout ")
	}
	return said
}

func unchanged(*types.PluginConfig) {}

func administrator(c *types.PluginConfig) { c.Linux.Capabilities = []string{"CAP_SYS_ADMIN"} }

const volumes = "docker.volumedriver/1.0"

// Sets of capabilities: docker's fourteen, and these with CAP_SYS_ADMIN.
const (
	defaultCapabilities = "CapEff: 00000000a80425fb"
	andSysAdmin         = "CapEff: 00000000a82425fb"
)

// TestHardeningReachesPlugins lets real plugins print their rights.
func TestHardeningReachesPlugins(t *testing.T) {
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
			"for all, with capabilities", plugin.Hardening{Seccomp: plugin.SeccompAll}, administrator,
			[]string{andSysAdmin, "NoNewPrivs: 0", "Seccomp: 2", "unshare: ok", "/file: ok"},
		},
		{
			"strict", plugin.Hardening{Seccomp: plugin.SeccompAll, NoNewPrivileges: true, ReadonlyRootfs: true}, unchanged,
			[]string{defaultCapabilities, "NoNewPrivs: 1", "Seccomp: 2", "unshare: operation not permitted", "/file: read-only file system"},
		},
		{
			"another user", plugin.Hardening{},
			func(c *types.PluginConfig) { c.User = types.PluginConfigUser{UID: 1000, GID: 1000} },
			[]string{"CapEff: 0000000000000000", "NoNewPrivs: 0", "Seccomp: 0", "unshare: ok", "/file: permission denied"},
		},
		{
			"apparmor, where there is none", plugin.Hardening{AppArmorProfile: "unconfined"}, unchanged,
			[]string{defaultCapabilities, "NoNewPrivs: 0", "Seccomp: 0", "unshare: ok", "/file: ok"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.DeepEqual(t, ask(newHardened(t, tc.h), volumes, tc.change, look...), tc.want)
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
	said := ask(w, volumes, unchanged,
		"cat=/sys/fs/cgroup/"+memory, "cat=/sys/fs/cgroup/"+pids, "cat=/sys/fs/cgroup/"+quota,
		"cat=/proc/self/oom_score_adj", "cat=/proc/self/cgroup")
	assert.DeepEqual(t, said[:4], []string{"67108864", "50", wantQuota, "250"})
	for _, line := range said[4:] {
		if strings.Contains(line, ":memory:") || strings.HasPrefix(line, "0::/dovetail") {
			assert.Check(t, is.Contains(line, ":/dovetail-test/"), "it is in another cgroup")
		}
	}
}

// removeCgroup removes a cgroup parent, which the runtime makes and never removes.
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
	id := createProbe(w, "greedy", "eat=64", listenStep, "wait=")
	err := w.Enable(id, nil)
	var start *plugin.StartError
	assert.Assert(t, errors.As(err, &start), "%v", err)
	assert.Check(t, start.OOMKilled, "%v", err)
}

// TestOOMKillIsReported exceeds the memory limit of a plugin that is ready. The
// reports of its exit name the OOM killer.
func TestOOMKillIsReported(t *testing.T) {
	w := newHardened(t, plugin.Hardening{MemoryBytes: 32 << 20})
	id := createProbe(w, "greedy", listenStep, "step=/go", "eat=64", "wait=")
	path := filepath.Join(w.Config.Root, id, "rootfs", "go")
	assert.NilError(t, unix.Mkfifo(path, 0o600))
	gate, err := os.OpenFile(path, os.O_RDWR, 0)
	assert.NilError(t, err)
	t.Cleanup(func() { gate.Close() })
	w.MustEnable(id)
	events, cancel := w.SubscribeEvents(1, plugin.EventExited{})
	defer cancel()
	_, err = gate.Write([]byte{1})
	assert.NilError(t, err)
	exit := (<-events).(plugin.EventExited).Exit
	assert.Equal(t, exit.Code, 128+9)
	assert.Check(t, exit.OOMKilled)
	assert.Check(t, w.MustStatus(id).LastExit.OOMKilled)
	assert.NilError(t, w.Disable(id, nil))
}

// TestRuntimeOptionsHaveTheLastWord hardens one capability more than the rest, and
// exempts another.
func TestRuntimeOptionsHaveTheLastWord(t *testing.T) {
	w := newHardened(t, plugin.Hardening{Seccomp: plugin.SeccompAll})
	w.Config.Store.RegisterRuntimeOpt("volumedriver", plugin.WithHardening(plugin.Hardening{NoNewPrivileges: true, ReadonlyRootfs: true}))
	w.Config.Store.RegisterRuntimeOpt("logdriver", func(s *specs.Spec) { s.Linux.Seccomp = nil })
	look := []string{"status=NoNewPrivs", "status=Seccomp", "try=/file"}
	assert.DeepEqual(t, ask(w, volumes, unchanged, look...), []string{"NoNewPrivs: 1", "Seccomp: 2", "/file: read-only file system"})
	assert.DeepEqual(t, ask(w, "docker.logdriver/1.0", unchanged, look...), []string{"NoNewPrivs: 0", "Seccomp: 0", "/file: ok"})
	assert.DeepEqual(t, ask(w, "docker.networkdriver/1.0", unchanged, look...), []string{"NoNewPrivs: 0", "Seccomp: 2", "/file: ok"})
}
