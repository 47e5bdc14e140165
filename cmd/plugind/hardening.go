//go:build linux

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"github.com/dovetailhq/plugin"
)

// hardeningFlags makes flags of what can be taken from plugins. They are named
// after the fields of plugin.Hardening, which has their documentation.
func hardeningFlags(flags *pflag.FlagSet, h *plugin.Hardening) {
	flags.StringVar((*string)(&h.Seccomp), "harden-seccomp", "", "filter system calls by docker's profile: default (but for plugins with CAP_SYS_ADMIN) or all")
	flags.BoolVar(&h.NoNewPrivileges, "harden-no-new-privileges", false, "keep programs from gaining privileges")
	flags.StringVar(&h.AppArmorProfile, "harden-apparmor", "", "AppArmor profile, where the host has AppArmor")
	flags.BoolVar(&h.ReadonlyRootfs, "harden-read-only", false, "make the rootfs read-only")
	flags.Var(parsed{"bytes", func(text string) (err error) {
		h.MemoryBytes, err = units.RAMInBytes(text)
		return err
	}}, "harden-memory", "memory of each plugin, such as 512m")
	flags.Float64Var(&h.CPUs, "harden-cpus", 0, "processors of each plugin, such as 1.5")
	flags.Int64Var(&h.Pids, "harden-pids", 0, "processes and threads of each plugin")
	flags.Var(parsed{"score", func(text string) error {
		score, err := strconv.Atoi(text)
		h.OOMScoreAdj = &score
		return err
	}}, "harden-oom-score-adj", "how readily plugins are killed for want of memory, -1000 to 1000")
	flags.StringVar(&h.CgroupParent, "cgroup-parent", "", "cgroup of the plugins' cgroups: a path, or a slice of systemd such as plugins.slice")
}

// parsed is a flag that is more than a string, and empty unless it is given.
type parsed struct {
	kind  string
	parse func(text string) error
}

func (parsed) String() string          { return "" }
func (p parsed) Type() string          { return p.kind }
func (p parsed) Set(text string) error { return p.parse(text) }

func validateHardening(h plugin.Hardening) error {
	if err := h.Validate(); err != nil {
		return fmt.Errorf("--harden-*: %w", err)
	}
	if isSlice(h.CgroupParent) {
		return validateSlice(h.CgroupParent, systemdDirectory)
	}
	return nil
}

// systemdCgroup is whether the runtime leaves cgroups to systemd.
func (o options) systemdCgroup() bool { return isSlice(o.hardening.CgroupParent) }

func isSlice(parent string) bool { return strings.HasSuffix(parent, ".slice") }

// systemdDirectory is there where systemd runs, see sd_booted(3).
const systemdDirectory = "/run/systemd/system"

// validateSlice refuses a slice that systemd can't make. Dashes in its name
// stand for the slices above it, see systemd.slice(5).
func validateSlice(slice, systemd string) error {
	if strings.Contains(slice, "/") {
		return fmt.Errorf("--cgroup-parent %q: give a slice by its name alone, such as plugins.slice", slice)
	}
	if info, err := os.Lstat(systemd); err != nil || !info.IsDir() {
		return fmt.Errorf("--cgroup-parent %q: this host does not run systemd: give a path such as /plugins", slice)
	}
	return nil
}
