// SPDX-License-Identifier: Apache-2.0

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

// hardeningFlags defines a flag for each field of plugin.Hardening, which
// documents them.
func hardeningFlags(flags *pflag.FlagSet, h *plugin.Hardening) {
	flags.StringVar((*string)(&h.Seccomp), "harden-seccomp", "", "filter system calls by docker's profile: default (except for plugins with CAP_SYS_ADMIN) or all")
	flags.BoolVar(&h.NoNewPrivileges, "harden-no-new-privileges", false, "prevent programs from gaining privileges")
	flags.StringVar(&h.AppArmorProfile, "harden-apparmor", "", "AppArmor profile, where the host has AppArmor")
	flags.BoolVar(&h.ReadonlyRootfs, "harden-read-only", false, "make the rootfs read-only")
	flags.Var(parsed{"bytes", func(text string) (err error) {
		h.MemoryBytes, err = units.RAMInBytes(text)
		return err
	}}, "harden-memory", "memory limit per plugin, such as 512m")
	flags.Float64Var(&h.CPUs, "harden-cpus", 0, "CPU limit per plugin, such as 1.5")
	flags.Int64Var(&h.Pids, "harden-pids", 0, "limit of processes and threads per plugin")
	flags.Var(parsed{"score", func(text string) error {
		score, err := strconv.Atoi(text)
		h.OOMScoreAdj = &score
		return err
	}}, "harden-oom-score-adj", "OOM score adjustment, -1000 to 1000")
	flags.StringVar(&h.CgroupParent, "cgroup-parent", "", "parent of the plugins' cgroups: a path, or a systemd slice such as plugins.slice")
}

// parsed is a flag with its parser. It is empty by default.
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

// systemdCgroup reports whether systemd makes the plugins' cgroups.
func (o options) systemdCgroup() bool { return isSlice(o.hardening.CgroupParent) }

func isSlice(parent string) bool { return strings.HasSuffix(parent, ".slice") }

// systemdDirectory exists where systemd runs, see
// https://man7.org/linux/man-pages/man3/sd_booted.3.html.
const systemdDirectory = "/run/systemd/system"

// validateSlice refuses a slice that systemd cannot make. Dashes in its name
// stand for the slices above it, see
// https://man7.org/linux/man-pages/man5/systemd.slice.5.html.
func validateSlice(slice, systemd string) error {
	if strings.Contains(slice, "/") {
		return fmt.Errorf("--cgroup-parent %q: use the slice's name alone, such as plugins.slice", slice)
	}
	if info, err := os.Lstat(systemd); err != nil || !info.IsDir() {
		return fmt.Errorf("--cgroup-parent %q: this host does not run systemd: use a path such as /plugins", slice)
	}
	return nil
}
