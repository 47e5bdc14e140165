package plugin

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Hardening takes from plugins what docker leaves them. The zero value takes
// nothing: plugins then have docker's default capabilities and those their
// config asks for, no filter of system calls, a writable rootfs and no limits.
//
// It holds for all plugins as [ManagerConfig.Hardening], and for those of one
// capability through [Store.RegisterRuntimeOpt] and [WithHardening]. Runtime
// options come after the manager's hardening and have the last word, so that
// one capability can be held tighter, or spared.
//
// It applies to starts from now on; a plugin that was taken over by live
// restore keeps what it was started with.
type Hardening struct {
	// Seccomp filters system calls. Empty is no filter.
	Seccomp SeccompMode
	// NoNewPrivileges keeps set-user-id programs and file capabilities from
	// giving a process of the plugin more than it has.
	NoNewPrivileges bool
	// AppArmorProfile names a profile that is loaded on the host, such as
	// docker-default. It is left out where the host has no AppArmor; where it
	// has, a profile that is not loaded keeps plugins from starting. Empty is
	// no profile.
	AppArmorProfile string
	// ReadonlyRootfs makes the rootfs read-only. Mounts, the propagated mount
	// and the socket's directory stay as they are.
	ReadonlyRootfs bool

	// MemoryBytes limits a plugin's memory, without swap. Zero is no limit.
	MemoryBytes int64
	// CPUs limits its processor time: 1.5 is one and a half processors. Zero
	// is no limit.
	CPUs float64
	// Pids limits its processes and threads. Zero is no limit.
	Pids int64
	// OOMScoreAdj is how readily the kernel kills it for want of memory, from
	// -1000, never, to 1000. Nil leaves it the daemon's own.
	OOMScoreAdj *int
	// CgroupParent is the cgroup below which each plugin has one named by its
	// id, as docker run --cgroup-parent has it: a path, or a name such as
	// plugins.slice for a runtime that leaves cgroups to systemd. Empty leaves
	// it to the runtime.
	CgroupParent string
}

// SeccompMode says which plugins have their system calls filtered by docker's
// default profile for containers. The profile allows what the plugin's
// capabilities need.
type SeccompMode string

const (
	// SeccompDefault filters every plugin but those with CAP_SYS_ADMIN, whose
	// needs the profile's authors did not have in mind.
	SeccompDefault SeccompMode = "default"
	// SeccompAll filters those with CAP_SYS_ADMIN, too.
	SeccompAll SeccompMode = "all"
)

const (
	// leastMemory is the least a runtime needs to start anything; docker
	// refuses less, too.
	leastMemory = 6 << 20
	// leastCPUs is the least quota that the kernel takes, 1 ms of 100.
	leastCPUs = 0.01
	// mostCPUs is beyond any machine, and short of an overflow.
	mostCPUs = 1 << 20
)

// problems returns everything that is wrong with h.
func (h Hardening) problems() []error {
	var problems []error
	refuse := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("Hardening: "+format, args...))
	}
	if !slices.Contains([]SeccompMode{"", SeccompDefault, SeccompAll}, h.Seccomp) {
		refuse("Seccomp is %q: give %q, %q or nothing", h.Seccomp, SeccompDefault, SeccompAll)
	}
	if h.MemoryBytes != 0 && h.MemoryBytes < leastMemory {
		refuse("MemoryBytes is %d: give at least %d, or 0 for no limit", h.MemoryBytes, leastMemory)
	}
	if h.CPUs != 0 && !(h.CPUs >= leastCPUs && h.CPUs <= mostCPUs) { // not a number is neither
		refuse("CPUs is %v: give at least %v, or 0 for no limit", h.CPUs, leastCPUs)
	}
	if h.Pids < 0 {
		refuse("Pids is %d: give a number of processes, or 0 for no limit", h.Pids)
	}
	if h.OOMScoreAdj != nil && (*h.OOMScoreAdj < -1000 || *h.OOMScoreAdj > 1000) {
		refuse("OOMScoreAdj is %d: give one from -1000 to 1000", *h.OOMScoreAdj)
	}
	if slices.Contains(strings.Split(h.CgroupParent, "/"), "..") {
		refuse("CgroupParent is %q: give a path without ..", h.CgroupParent)
	}
	return problems
}

// Validate returns nil, or an error of class InvalidParameter that lists
// everything that is wrong with h.
func (h Hardening) Validate() error {
	if err := errors.Join(h.problems()...); err != nil {
		return &InvalidError{What: "hardening", Err: err}
	}
	return nil
}

// WithHardening is a SpecOpt that hardens plugins of one capability. What h
// leaves zero stays as it was. Values that [Hardening.Validate] refuses keep
// plugins from starting, or are refused by the runtime. On other systems than
// Linux it does nothing, as nothing is started there.
func WithHardening(h Hardening) SpecOpt {
	return func(spec *specs.Spec) { h.apply(spec) }
}
