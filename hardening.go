// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin/internal/hardening"
)

// Hardening restricts plugins beyond docker's defaults. The zero value adds no
// restrictions: plugins then have docker's default capabilities and those that
// their config asks for, no system call filter, a writable rootfs and no limits.
//
// Set it for all plugins by [ManagerConfig.Hardening], or for the plugins of one
// capability by [Store.RegisterRuntimeOpt] and [WithHardening]. Runtime options
// are applied last and override the manager's hardening.
//
// It applies to later starts only. A plugin that live restore took over keeps
// the restrictions of its start.
type Hardening struct {
	// Seccomp filters system calls. Empty means no filter.
	Seccomp SeccompMode
	// NoNewPrivileges prevents a process of the plugin from gaining privileges
	// by set-user-id programs and file capabilities. See
	// https://docs.kernel.org/userspace-api/no_new_privs.html.
	NoNewPrivileges bool
	// AppArmorProfile names a profile that is loaded on the host, such as
	// docker-default. It is ignored on a host without AppArmor. On a host with
	// AppArmor a profile that is not loaded makes starts fail. Empty means no
	// profile.
	AppArmorProfile string
	// ReadonlyRootfs makes the rootfs read-only. Mounts, the propagated mount
	// and the socket's directory stay writable.
	ReadonlyRootfs bool

	// MemoryBytes limits a plugin's memory, without swap. Zero means no limit.
	MemoryBytes int64
	// CPUs limits a plugin's processor time: 1.5 is one and a half processors.
	// Zero means no limit.
	CPUs float64
	// Pids limits a plugin's processes and threads. Zero means no limit.
	Pids int64
	// OOMScoreAdj adjusts how readily the OOM killer ends a plugin, from -1000
	// (never) to 1000. Nil means the daemon's own value.
	OOMScoreAdj *int
	// CgroupParent is the parent of the cgroups of plugins, each named by its
	// plugin's ID. Its form is that of docker run --cgroup-parent: a path, or a
	// name such as plugins.slice for a runtime with systemd cgroups. Empty means
	// the runtime's default.
	CgroupParent string
}

// SeccompMode selects the plugins that docker's default seccomp profile for
// containers applies to. The profile allows the system calls that the plugin's
// capabilities need.
type SeccompMode string

const (
	// SeccompDefault filters every plugin except those with CAP_SYS_ADMIN: the
	// profile was not made with them in mind.
	SeccompDefault SeccompMode = hardening.FilterDefault
	// SeccompAll filters plugins with CAP_SYS_ADMIN also.
	SeccompAll SeccompMode = hardening.FilterAll
)

const (
	// minMemory is the memory that a runtime needs to start anything. Docker
	// has the same minimum.
	minMemory = 6 << 20
	// minCPUs is the smallest quota that the kernel takes, 1 ms of 100.
	minCPUs = 0.01
	// maxCPUs is beyond any machine, and does not overflow.
	maxCPUs = 1 << 20
)

// problems returns all problems of h.
func (h Hardening) problems() []error {
	var problems []error
	refuse := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("Hardening: "+format, args...))
	}
	if !slices.Contains([]SeccompMode{"", SeccompDefault, SeccompAll}, h.Seccomp) {
		refuse("Seccomp is %q: use %q or %q, or leave it empty", h.Seccomp, SeccompDefault, SeccompAll)
	}
	if h.MemoryBytes != 0 && h.MemoryBytes < minMemory {
		refuse("MemoryBytes is %d: set at least %d, or 0 for no limit", h.MemoryBytes, minMemory)
	}
	if h.CPUs != 0 && !(h.CPUs >= minCPUs && h.CPUs <= maxCPUs) { // not a number is neither
		refuse("CPUs is %v: set at least %v, or 0 for no limit", h.CPUs, minCPUs)
	}
	if h.Pids < 0 {
		refuse("Pids is %d: set a number of processes, or 0 for no limit", h.Pids)
	}
	if h.OOMScoreAdj != nil && (*h.OOMScoreAdj < -1000 || *h.OOMScoreAdj > 1000) {
		refuse("OOMScoreAdj is %d: set a value from -1000 to 1000", *h.OOMScoreAdj)
	}
	if slices.Contains(strings.Split(h.CgroupParent, "/"), "..") {
		refuse("CgroupParent is %q: use a path without ..", h.CgroupParent)
	}
	return problems
}

// Validate returns nil, or an error of class InvalidParameter that lists all
// problems of h.
func (h Hardening) Validate() error {
	if err := errors.Join(h.problems()...); err != nil {
		return &InvalidError{What: "hardening", Err: err}
	}
	return nil
}

// WithHardening is a SpecOpt that hardens plugins of one capability. Zero fields
// of h change nothing. Values that [Hardening.Validate] refuses make starts
// fail. On systems other than Linux, which start no plugins, it does nothing.
func WithHardening(h Hardening) SpecOpt {
	return func(spec *specs.Spec) { h.options().Apply(spec) }
}

func (h Hardening) options() hardening.Options {
	return hardening.Options{
		Seccomp:         string(h.Seccomp),
		NoNewPrivileges: h.NoNewPrivileges,
		AppArmorProfile: h.AppArmorProfile,
		ReadonlyRootfs:  h.ReadonlyRootfs,
		MemoryBytes:     h.MemoryBytes,
		CPUs:            h.CPUs,
		Pids:            h.Pids,
		OOMScoreAdj:     h.OOMScoreAdj,
		CgroupParent:    h.CgroupParent,
	}
}
