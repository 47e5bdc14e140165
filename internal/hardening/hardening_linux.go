// SPDX-License-Identifier: Apache-2.0

package hardening

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// cpuPeriod is the kernel's default and docker's, in microseconds.
const cpuPeriod = 100_000

// Apply changes spec as h asks for, on this host.
func (h Options) Apply(spec *specs.Spec) {
	if h == (Options{}) {
		return
	}
	h.applyOn(spec, securityModules{profile: seccomp.GetDefaultProfile, hasAppArmor: hasAppArmor("/sys")})
}

// securityModules is what a host offers.
type securityModules struct {
	profile     func(*specs.Spec) (*specs.LinuxSeccomp, error)
	hasAppArmor bool
}

func (h Options) applyOn(spec *specs.Spec, host securityModules) {
	if h.NoNewPrivileges {
		spec.Process.NoNewPrivileges = true
	}
	if h.ReadonlyRootfs {
		spec.Root.Readonly = true
	}
	if h.AppArmorProfile != "" && host.hasAppArmor {
		spec.Process.ApparmorProfile = h.AppArmorProfile
	}
	if h.OOMScoreAdj != nil {
		score := *h.OOMScoreAdj
		spec.Process.OOMScoreAdj = &score
	}
	if h.filters(spec) {
		spec.Linux.Seccomp = profileOf(spec, host)
	}
	if h.CgroupParent != "" {
		spec.Linux.CgroupsPath = cgroupPath(h.CgroupParent, pluginID(spec))
	}
	h.limit(spec.Linux.Resources)
}

func (h Options) filters(spec *specs.Spec) bool {
	return h.Seccomp == FilterAll ||
		h.Seccomp == FilterDefault && !slices.Contains(spec.Process.Capabilities.Bounding, "CAP_SYS_ADMIN")
}

// profileOf returns docker's profile for the capabilities of spec. If it can't be
// made, for example because the kernel version is unreadable, the returned profile
// allows nothing: the plugin must not run without the filter.
func profileOf(spec *specs.Spec, host securityModules) *specs.LinuxSeccomp {
	profile, err := host.profile(spec)
	if err != nil {
		return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno}
	}
	return profile
}

func (h Options) limit(resources *specs.LinuxResources) {
	if h.MemoryBytes != 0 {
		limit := h.MemoryBytes
		resources.Memory = &specs.LinuxMemory{Limit: &limit}
	}
	if h.CPUs != 0 {
		quota, period := int64(h.CPUs*cpuPeriod), uint64(cpuPeriod)
		resources.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	}
	if h.Pids != 0 {
		resources.Pids = &specs.LinuxPids{}
		setInt64(&resources.Pids.Limit, h.Pids)
	}
}

// setInt64 sets a field that is an int64 in one version of its package and a
// pointer to one in another, as the limit of processes is in runtime-spec 1.2
// and 1.3.
func setInt64[T int64 | *int64](field *T, value int64) {
	switch field := any(field).(type) {
	case *int64:
		*field = value
	case **int64:
		*field = &value
	}
}

// pluginID returns the plugin that a spec is of: its rootfs is <id>/rootfs.
func pluginID(spec *specs.Spec) string {
	return filepath.Base(filepath.Dir(spec.Root.Path))
}

// cgroupPath is where the runtime puts a plugin below parent: a path, or, as
// runtimes write a scope of systemd's, slice:prefix:name.
func cgroupPath(parent, id string) string {
	if strings.HasSuffix(parent, ".slice") {
		return parent + ":plugin:" + id
	}
	return path.Join(parent, id)
}

// hasAppArmor reports whether AppArmor is enabled, by the same files below sys
// (normally /sys) that runc checks.
func hasAppArmor(sys string) bool {
	if _, err := os.Stat(filepath.Join(sys, "kernel/security/apparmor")); err != nil {
		return false
	}
	enabled, err := os.ReadFile(filepath.Join(sys, "module/apparmor/parameters/enabled"))
	return err == nil && strings.HasPrefix(string(enabled), "Y")
}
