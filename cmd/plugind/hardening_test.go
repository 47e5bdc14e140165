// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/spf13/pflag"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

func parseHardening(args ...string) (h plugin.Hardening, err error) {
	flags := pflag.NewFlagSet("plugind", pflag.ContinueOnError)
	hardeningFlags(flags, &h)
	return h, flags.Parse(args)
}

func TestHardeningFlags(t *testing.T) {
	score := -5
	for _, tc := range []struct {
		name string
		args []string
		want plugin.Hardening
	}{
		{"none", nil, plugin.Hardening{}},
		{
			"all",
			[]string{
				"--harden-seccomp=all", "--harden-no-new-privileges", "--harden-apparmor=docker-default", "--harden-read-only",
				"--harden-memory=512m", "--harden-cpus=1.5", "--harden-pids=100", "--harden-oom-score-adj=-5", "--cgroup-parent=/plugins",
			},
			plugin.Hardening{
				Seccomp: plugin.SeccompAll, NoNewPrivileges: true, AppArmorProfile: "docker-default", ReadonlyRootfs: true,
				MemoryBytes: 512 << 20, CPUs: 1.5, Pids: 100, OOMScoreAdj: &score, CgroupParent: "/plugins",
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parseHardening(tc.args...)
			assert.NilError(t, err)
			assert.DeepEqual(t, got, tc.want)
		})
	}
}

func TestHardeningFlagsRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		arg  string
		want string
	}{
		{"mode", "--harden-seccomp=some", `Seccomp is "some"`},
		{"memory", "--harden-memory=much", `invalid argument "much" for "--harden-memory"`},
		{"too little memory", "--harden-memory=1k", "MemoryBytes is 1024"},
		{"score", "--harden-oom-score-adj=x", `invalid argument "x" for "--harden-oom-score-adj"`},
		{"parent", "--cgroup-parent=../a", `CgroupParent is "../a"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			command := newCommand()
			command.SetArgs([]string{"--root=" + t.TempDir(), tc.arg})
			assert.Check(t, is.ErrorContains(command.ExecuteContext(t.Context()), tc.want))
		})
	}
}

// TestPlugindHardensPlugins inspects the confinement of a real plugin below a
// plugind with flags.
func TestPlugindHardensPlugins(t *testing.T) {
	testenv.NeedsRoot(t, "runc")
	h := newHouse(t)
	h.options.executor = nil
	var err error
	h.options.hardening, err = parseHardening("--harden-seccomp=default", "--harden-no-new-privileges", "--harden-read-only")
	assert.NilError(t, err)
	docker, stop := h.start(t)
	defer stop()

	rootfs := executortest.BuildProbe(t)
	entrypoint := executortest.Spec(rootfs, "status=Seccomp", "status=NoNewPrivs", "try=/x", "listen=/run/docker/plugins/plugin.sock", "wait=").Process.Args
	program, err := os.ReadFile(filepath.Join(rootfs, entrypoint[0]))
	assert.NilError(t, err)
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Entrypoint = entrypoint
	source := plugintest.BuildContext(config, map[string]string{entrypoint[0]: string(program)})
	ctx := context.Background()
	assert.NilError(t, docker.PluginCreate(ctx, source, types.PluginCreateOptions{RepoName: "probe"}))
	assert.NilError(t, docker.PluginEnable(ctx, "probe", types.PluginEnableOptions{Timeout: 30}))
	assert.NilError(t, docker.PluginDisable(ctx, "probe", types.PluginDisableOptions{}))

	socket, err := h.options.socket()
	assert.NilError(t, err)
	answer, err := clientOf(socket).Get("http://plugind/plugins/probe/logs")
	assert.NilError(t, err)
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	assert.NilError(t, err)
	for _, want := range []string{"Seccomp: 2", "NoNewPrivs: 1", "/x: read-only file system"} {
		assert.Check(t, is.Contains(string(said), want))
	}
}

func TestSlices(t *testing.T) {
	systemd := t.TempDir()
	for _, tc := range []struct{ name, slice, systemd, want string }{
		{"a slice", "plugins.slice", systemd, ""},
		{"a slice below one", "machine-plugins.slice", systemd, ""},
		{"a path of slices", "/system.slice/plugins.slice", systemd, `--cgroup-parent "/system.slice/plugins.slice": use the slice's name alone`},
		{"a host without systemd", "plugins.slice", filepath.Join(systemd, "none"), `--cgroup-parent "plugins.slice": this host does not run systemd`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := validateSlice(tc.slice, tc.systemd)
			if tc.want == "" {
				assert.NilError(t, err)
			} else {
				assert.ErrorContains(t, err, tc.want)
			}
		})
	}
}

// TestSliceReachesTheRuntime records the command line of a runtime.
func TestSliceReachesTheRuntime(t *testing.T) {
	for _, tc := range []struct {
		parent  string
		systemd bool
	}{
		{"", false}, {"/plugins", false}, {"plugins.slice", true},
	} {
		t.Run(tc.parent, func(t *testing.T) {
			directory := t.TempDir()
			runtime, called := filepath.Join(directory, "runtime"), filepath.Join(directory, "called")
			script := "#!/bin/sh\necho \"$@\" >>" + called + "\nexit 1\n"
			assert.NilError(t, os.WriteFile(runtime, []byte(script), 0o755))
			r := &runner{ctx: t.Context(), options: options{
				execRoot: filepath.Join(directory, "exec"), runtime: runtime, hardening: plugin.Hardening{CgroupParent: tc.parent},
			}}
			executor, err := r.newRuncExecutor(nil)
			assert.NilError(t, err)
			err = executor.Create("a", executortest.Spec(directory), discard{}, discard{})
			assert.Assert(t, err != nil)
			written, err := os.ReadFile(called)
			assert.NilError(t, err)
			assert.Check(t, is.Equal(strings.Contains(string(written), "--systemd-cgroup"), tc.systemd), "%s", written)
		})
	}
}

type discard struct{ io.Writer }

func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) Close() error                { return nil }
