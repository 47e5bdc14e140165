// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// report is what testdata/probe prints.
type report struct {
	Args      []string
	Env       []string
	Directory string
	User      int
	Effective string
	Present   map[string]bool
}

// probe returns a plugin on disk whose rootfs holds nothing but the probe.
func probe(t *testing.T) *Plugin {
	t.Helper()
	directory := filepath.Join(t.TempDir(), exampleID)
	for _, name := range []string{"rootfs", "propagated-mount"} {
		assert.NilError(t, os.MkdirAll(filepath.Join(directory, name), 0o755))
	}
	p := minimal()
	p.Rootfs = filepath.Join(directory, "rootfs")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(p.Rootfs, "probe"), "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := build.CombinedOutput()
	assert.NilError(t, err, "%s", output)
	return p
}

// runProbe starts p, whose entrypoint is the probe, under the real runtime.
func runProbe(t *testing.T, p *Plugin, execRoot string) report {
	t.Helper()
	spec, err := p.InitSpec(execRoot)
	assert.NilError(t, err)
	bundle := t.TempDir()
	assert.NilError(t, os.WriteFile(filepath.Join(bundle, "config.json"), encode(spec), 0o600))

	var stderr bytes.Buffer
	// State and name are unique, so that a failed run does not affect others.
	id := filepath.Base(filepath.Dir(execRoot))
	runc := exec.CommandContext(t.Context(), "runc", "--root", t.TempDir(), "run", "--bundle", bundle, id)
	runc.Stderr = &stderr
	stdout, err := runc.Output()
	assert.NilError(t, err, "%s", stderr.String())
	var seen report
	assert.NilError(t, json.Unmarshal(stdout, &seen), "%s", stdout)
	return seen
}

// TestSpecRuns starts a plugin with every kind of setting under runc and asks
// it what it sees.
func TestSpecRuns(t *testing.T) {
	testenv.NeedsRoot(t, "runc")
	p, execRoot, state := probe(t), t.TempDir(), t.TempDir()
	p.PluginObj.Config = types.PluginConfig{
		Entrypoint:      []string{"/probe"},
		WorkDir:         "/work",
		PropagatedMount: "/mnt/volumes",
		Network:         types.PluginConfigNetwork{Type: "host"},
		Args:            types.PluginConfigArgs{Name: "args", Settable: []string{"value"}},
		Env: []types.PluginEnv{
			{Name: "GREETING", Settable: []string{"value"}},
			{Name: "TOUCH", Value: pointer("/run/docker/plugins:/mnt/volumes:/mnt/state")},
			{Name: "LOOK", Value: pointer("/etc/hosts:/etc/resolv.conf:/dev/zero:/dev/fuse:/dev/pts/ptmx:/missing")},
		},
		Mounts: []types.PluginMount{
			{Name: "state", Type: "bind", Source: pointer("/no-such-directory"), Destination: "/mnt/state", Settable: []string{"source"}},
		},
		Linux: types.PluginConfigLinux{
			Capabilities: []string{"CAP_SYS_ADMIN"},
			Devices:      []types.PluginDevice{{Name: "zero", Path: pointer("/dev/zero")}},
		},
	}
	p.InitEmptySettings()
	assert.NilError(t, p.Set([]string{"state=" + state, "GREETING=hello=world\nagain", "args=--flag 'a b' ''"}))

	seen := runProbe(t, p, execRoot)
	assert.DeepEqual(t, seen.Args, []string{"/probe", "--flag", "a b", ""})
	assert.Assert(t, slices.Contains(seen.Env, "GREETING=hello=world\nagain"), "%q", seen.Env)
	assert.Equal(t, seen.Directory, "/work")
	assert.Equal(t, seen.User, 0)
	// docker's 14 capabilities and CAP_SYS_ADMIN, bit 21
	assert.Equal(t, seen.Effective, "00000000a82425fb")
	assert.DeepEqual(t, seen.Present, map[string]bool{
		"/etc/hosts": fileExists("/etc/hosts"), "/etc/resolv.conf": fileExists("/etc/resolv.conf"),
		"/dev/zero": true, "/dev/fuse": false, "/dev/pts/ptmx": true, "/missing": false,
	})
	for _, touched := range []string{
		filepath.Join(execRoot, exampleID, "touched"),
		filepath.Join(state, "touched"),
		p.ScopedPath("/mnt/volumes/touched"),
	} {
		assert.Check(t, fileExists(touched), touched)
	}

	p.PluginObj.Config.User = types.PluginConfigUser{UID: 1000, GID: 1000}
	assert.NilError(t, p.Set([]string{"state=" + state}))
	p.PluginObj.Settings.Env = []string{"TOUCH=/run/docker/plugins"}
	assert.NilError(t, os.Remove(filepath.Join(execRoot, exampleID, "touched")))
	seen = runProbe(t, p, execRoot)
	assert.Equal(t, seen.User, 1000)
	assert.Check(t, fileExists(filepath.Join(execRoot, exampleID, "touched")), "the user can't make its socket")
}

// TestSpecWithTheHostsDevicesRuns binds /dev, which has default mounts below it.
func TestSpecWithTheHostsDevicesRuns(t *testing.T) {
	testenv.NeedsRoot(t, "runc")
	p := probe(t)
	p.PluginObj.Config = types.PluginConfig{
		Entrypoint: []string{"/probe"},
		PidHost:    true,
		IpcHost:    true,
		Linux:      types.PluginConfigLinux{AllowAllDevices: true},
		Mounts:     []types.PluginMount{{Name: "dev", Type: "bind", Source: pointer("/dev"), Destination: "/dev", Options: []string{"rbind"}}},
		Env:        []types.PluginEnv{{Name: "LOOK", Value: pointer("/dev/null:/dev/pts:/dev/shm")}},
	}
	p.InitEmptySettings()
	seen := runProbe(t, p, t.TempDir())
	assert.DeepEqual(t, seen.Present, map[string]bool{"/dev/null": true, "/dev/pts": true, "/dev/shm": true})
}
