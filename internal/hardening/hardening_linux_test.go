// SPDX-License-Identifier: Apache-2.0

package hardening

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/docker/docker/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"
)

// withAppArmor is a host that has everything.
var withAppArmor = securityModules{
	profile: func(*specs.Spec) (*specs.LinuxSeccomp, error) {
		return &specs.LinuxSeccomp{DefaultAction: specs.ActTrap}, nil
	},
	hasAppArmor: true,
}

// hardened returns docker's spec with h, on host.
func hardened(h Options, host securityModules, capabilities ...string) *specs.Spec {
	spec := oci.DefaultSpec()
	spec.Root = &specs.Root{Path: "/plugins/the-id/rootfs"}
	spec.Process.Capabilities.Bounding = append(spec.Process.Capabilities.Bounding, capabilities...)
	h.applyOn(&spec, host)
	return &spec
}

func TestZeroHardeningChangesNothing(t *testing.T) {
	spec := oci.DefaultSpec()
	Options{}.Apply(&spec)
	assert.DeepEqual(t, spec, oci.DefaultSpec())
}

func TestHardening(t *testing.T) {
	withoutAppArmor := withAppArmor
	withoutAppArmor.hasAppArmor = false
	score := -500
	for _, tc := range []struct {
		name string
		h    Options
		host securityModules
		look func(*specs.Spec) any
		want any
	}{
		{
			"no new privileges", Options{NoNewPrivileges: true}, withAppArmor,
			func(s *specs.Spec) any { return s.Process.NoNewPrivileges }, true,
		},
		{
			"read-only rootfs", Options{ReadonlyRootfs: true}, withAppArmor,
			func(s *specs.Spec) any { return s.Root.Readonly }, true,
		},
		{
			"apparmor", Options{AppArmorProfile: "docker-default"}, withAppArmor,
			func(s *specs.Spec) any { return s.Process.ApparmorProfile }, "docker-default",
		},
		{
			"apparmor on a host without", Options{AppArmorProfile: "docker-default"}, withoutAppArmor,
			func(s *specs.Spec) any { return s.Process.ApparmorProfile }, "",
		},
		{
			"oom score", Options{OOMScoreAdj: &score}, withAppArmor,
			func(s *specs.Spec) any { return *s.Process.OOMScoreAdj }, -500,
		},
		{
			"memory", Options{MemoryBytes: 64 << 20}, withAppArmor,
			func(s *specs.Spec) any { return *s.Linux.Resources.Memory.Limit }, int64(64 << 20),
		},
		{
			"processors", Options{CPUs: 1.5}, withAppArmor,
			func(s *specs.Spec) any { return *s.Linux.Resources.CPU.Quota }, int64(150_000),
		},
		{
			"pids", Options{Pids: 100}, withAppArmor,
			func(s *specs.Spec) any { return inJSON(s.Linux.Resources.Pids) }, `{"limit":100}`,
		},
		{
			"limits keep the device rules", Options{Pids: 100}, withAppArmor,
			func(s *specs.Spec) any { return len(s.Linux.Resources.Devices) }, len(oci.DefaultSpec().Linux.Resources.Devices),
		},
		{
			"cgroup", Options{CgroupParent: "/plugins/"}, withAppArmor,
			func(s *specs.Spec) any { return s.Linux.CgroupsPath }, "/plugins/the-id",
		},
		{
			"cgroup below the daemon's", Options{CgroupParent: "plugins"}, withAppArmor,
			func(s *specs.Spec) any { return s.Linux.CgroupsPath }, "plugins/the-id",
		},
		{
			"slice", Options{CgroupParent: "plugins.slice"}, withAppArmor,
			func(s *specs.Spec) any { return s.Linux.CgroupsPath }, "plugins.slice:plugin:the-id",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.DeepEqual(t, tc.look(hardened(tc.h, tc.host)), tc.want)
		})
	}
}

func TestSeccompModes(t *testing.T) {
	broken := securityModules{profile: func(*specs.Spec) (*specs.LinuxSeccomp, error) { return nil, errors.New("no version") }}
	for _, tc := range []struct {
		name         string
		mode         string
		host         securityModules
		capabilities []string
		want         specs.LinuxSeccompAction // empty for no filter
	}{
		{"off", "", withAppArmor, nil, ""},
		{"default", FilterDefault, withAppArmor, []string{"CAP_NET_ADMIN"}, specs.ActTrap},
		{"default for an administrator", FilterDefault, withAppArmor, []string{"CAP_SYS_ADMIN"}, ""},
		{"all", FilterAll, withAppArmor, []string{"CAP_SYS_ADMIN"}, specs.ActTrap},
		{"without a profile nothing is allowed", FilterDefault, broken, nil, specs.ActErrno},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got specs.LinuxSeccompAction
			if filter := hardened(Options{Seccomp: tc.mode}, tc.host, tc.capabilities...).Linux.Seccomp; filter != nil {
				got = filter.DefaultAction
			}
			assert.Equal(t, got, tc.want)
		})
	}
}

func TestHasAppArmor(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  bool
	}{
		{"nothing", nil, false},
		{"on", map[string]string{"kernel/security/apparmor/profiles": "", "module/apparmor/parameters/enabled": "Y\n"}, true},
		{"switched off", map[string]string{"kernel/security/apparmor/profiles": "", "module/apparmor/parameters/enabled": "N\n"}, false},
		{"without its file system", map[string]string{"module/apparmor/parameters/enabled": "Y\n"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sys := t.TempDir()
			for name, content := range tc.files {
				file := filepath.Join(sys, name)
				assert.NilError(t, os.MkdirAll(filepath.Dir(file), 0o700))
				assert.NilError(t, os.WriteFile(file, []byte(content), 0o600))
			}
			assert.Equal(t, hasAppArmor(sys), tc.want)
		})
	}
}

// inJSON returns how a runtime reads value.
func inJSON(value any) string {
	content, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(content)
}
