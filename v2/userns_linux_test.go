// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/docker/docker/api/types"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
)

func TestFitUserNamespace(t *testing.T) {
	namespace := userNamespace{
		lockedFlags: func(path string) ([]string, error) {
			switch path {
			case "/locked":
				return []string{"nosuid", "nodev", "noexec", "ro"}, nil
			case "/missing":
				return nil, fs.ErrNotExist
			case "/away":
				return nil, errors.New("server does not answer")
			}
			return nil, nil
		},
		hasGroup: func(id uint32) bool { return id == 0 },
		network:  "/state/netns",
	}
	private := []specs.LinuxNamespace{{Type: specs.NetworkNamespace}}
	tests := []struct {
		name       string
		mount      specs.Mount
		namespaces []specs.LinuxNamespace
		want       []string
		network    []specs.LinuxNamespace
		err        string
	}{
		{"a bind of a locked mount", specs.Mount{Type: "bind", Source: "/locked", Options: []string{"rbind", "rw"}}, private,
			[]string{"rbind", "rw", "nosuid", "nodev", "noexec", "ro"}, private, ""},
		{"a flag that is there", specs.Mount{Type: "bind", Source: "/locked", Options: []string{"bind", "ro", "noexec"}}, private,
			[]string{"bind", "ro", "noexec", "nosuid", "nodev"}, private, ""},
		{"a bind of a free mount", specs.Mount{Type: "bind", Source: "/free", Options: []string{"rbind"}}, private, []string{"rbind"}, private, ""},
		{"a bind of what is missing", specs.Mount{Type: "bind", Source: "/missing", Options: []string{"rbind"}}, private, []string{"rbind"}, private, ""},
		{"a bind of what can't be seen", specs.Mount{Type: "bind", Source: "/away", Options: []string{"rbind"}}, private, nil, private,
			`find the mount of "/away": server does not answer`},
		{"no bind", specs.Mount{Type: "tmpfs", Source: "/locked", Options: []string{"rw"}}, private, []string{"rw"}, private, ""},
		{"terminals of a group that is missing", specs.Mount{Type: "devpts", Options: []string{"gid=5", "mode=0620"}}, private, []string{"mode=0620"}, private, ""},
		{"a group that is there", specs.Mount{Type: "devpts", Options: []string{"gid=0"}}, private, []string{"gid=0"}, private, ""},
		{"the host's network", specs.Mount{Options: []string{}}, nil, []string{}, []specs.LinuxNamespace{{Type: specs.NetworkNamespace, Path: "/state/netns"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			given := slices.Clone(tt.mount.Options)
			spec := &specs.Spec{Mounts: []specs.Mount{tt.mount}, Linux: &specs.Linux{Namespaces: slices.Clone(tt.namespaces)}}
			err := namespace.fit(spec)
			assert.DeepEqual(t, tt.mount.Options, given)
			if tt.err != "" {
				assert.Error(t, err, tt.err)
				return
			}
			assert.NilError(t, err)
			assert.DeepEqual(t, spec.Mounts[0].Options, tt.want)
			assert.DeepEqual(t, spec.Linux.Namespaces, tt.network)
		})
	}
}

func TestDetachedNetwork(t *testing.T) {
	state := t.TempDir()
	assert.Equal(t, detachedNetwork(""), "")
	assert.Equal(t, detachedNetwork(state), "")
	assert.NilError(t, os.WriteFile(filepath.Join(state, "netns"), nil, 0o600))
	assert.Equal(t, detachedNetwork(state), filepath.Join(state, "netns"))
}

// lockedVariable names a directory of a locked mount, in the test process that
// is in a user namespace.
const lockedVariable = "V2_TEST_LOCKED"

// TestSpecRunsInAUserNamespace runs a plugin as a rootless daemon does, with a
// bind of a mount with locked flags. It runs itself in two user namespaces: with
// all users, and with root alone.
func TestSpecRunsInAUserNamespace(t *testing.T) {
	if os.Getenv(lockedVariable) != "" {
		runLocked(t, os.Getenv(lockedVariable))
		return
	}
	testenv.NeedsRoot(t, "a mount with locked flags")
	locked := t.TempDir()
	assert.NilError(t, unix.Mount("tmpfs", locked, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""))
	t.Cleanup(func() { assert.Check(t, unix.Unmount(locked, unix.MNT_DETACH)) })
	for name, users := range map[string]int{"of all users": 65536, "of root alone": 1} {
		t.Run(name, func(t *testing.T) {
			inside := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSpecRunsInAUserNamespace$", "-test.v")
			inside.Env = append(os.Environ(), lockedVariable+"="+locked)
			all := []syscall.SysProcIDMap{{Size: users}}
			inside.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true,
			}
			said, err := inside.CombinedOutput()
			assert.NilError(t, err, "%s", said)
		})
	}
}

func runLocked(t *testing.T, locked string) {
	p := probe(t)
	p.PluginObj.Config = types.PluginConfig{
		Entrypoint:      []string{"/probe"},
		PropagatedMount: "/mnt/volumes",
		Mounts: []types.PluginMount{
			{Name: "locked", Type: "bind", Source: &locked, Destination: "/mnt/locked", Options: []string{"rbind", "nosuid"}},
		},
		Env: []types.PluginEnv{
			{Name: "TOUCH", Value: pointer("/mnt/locked:/mnt/volumes:/run/docker/plugins")},
			{Name: "LOOK", Value: pointer("/dev/pts/ptmx:/dev/zero")},
		},
	}
	p.InitEmptySettings()
	execRoot := t.TempDir()
	seen := runProbe(t, p, execRoot)
	assert.DeepEqual(t, seen.Present, map[string]bool{"/dev/pts/ptmx": true, "/dev/zero": true})
	for _, touched := range []string{filepath.Join(locked, "touched"), filepath.Join(execRoot, exampleID, "touched")} {
		assert.Check(t, fileExists(touched), touched)
	}
}
