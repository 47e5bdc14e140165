// SPDX-License-Identifier: Apache-2.0

package build

import (
	"archive/tar"
	"debug/elf"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/docker/docker/api/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	v2 "github.com/dovetailhq/plugin/v2"
)

// checks looks for what can keep a plugin from running.
type checks struct {
	tree     *tree
	config   types.PluginConfig
	platform ocispec.Platform
	warnings []string
}

// check returns sentences about what can keep a plugin from running. A rootfs that is
// too large to look at has one warning about that.
func check(t *tree, config types.PluginConfig, platform ocispec.Platform) []string {
	c := &checks{tree: t, config: config, platform: platform, warnings: v2.ConfigWarnings(config)}
	if t.isPartial {
		c.warnf("the rootfs has too many names to be checked")
		return c.warnings
	}
	c.entrypoint()
	c.workDir()
	c.mountPoints()
	return c.warnings
}

func (c *checks) warnf(format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}

// entrypoint looks at the program that a start runs, and at what the program needs to
// begin.
func (c *checks) entrypoint() {
	if len(c.config.Entrypoint) == 0 {
		return // ConfigWarnings has it
	}
	name := c.lookUpProgram(c.config.Entrypoint[0])
	if name == "" {
		c.warnf("entrypoint %q is not in the rootfs", c.config.Entrypoint[0])
		return
	}
	file := c.runnable("entrypoint", name)
	if file == nil || file.program == nil {
		return
	}
	c.machine(name, file.program)
	c.loader(name, file.program)
}

// defaultPath is the PATH of plugins:
// https://github.com/moby/moby/blob/v28.5.2/pkg/system/path_unix.go
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookUpProgram returns the path of a program as a runtime finds it, or nothing.
func (c *checks) lookUpProgram(name string) string {
	if strings.Contains(name, "/") {
		if !path.IsAbs(name) {
			name = path.Join("/", c.config.WorkDir, name)
		}
		if c.tree.find(name) == nil {
			return ""
		}
		return name
	}
	directories := defaultPath
	for _, one := range c.config.Env {
		if one.Name == "PATH" && one.Value != nil {
			directories = *one.Value
		}
	}
	for directory := range strings.SplitSeq(directories, ":") {
		full := path.Join("/", directory, name)
		if file := c.tree.find(full); file != nil && file.kind == tar.TypeReg && file.mode&0o111 != 0 {
			return full
		}
	}
	return ""
}

// runnable warns of a file that the plugin's user can't run. It returns nil if no
// user can.
func (c *checks) runnable(what, name string) *node {
	r := c.tree.walk(name, false)
	switch {
	case r.end == nil:
		c.warnf("%s %s is not in the rootfs", what, name)
		return nil
	case r.end.kind != tar.TypeReg:
		c.warnf("%s %s is not a regular file", what, name)
		return nil
	case r.end.mode&0o111 == 0:
		c.warnf("%s %s is not executable: set its mode to 0755", what, name)
		return nil
	}
	c.permits(what, name, r, 0o1)
	return r.end
}

// permits warns of a path that the plugin's user can't use. Root can use each.
func (c *checks) permits(what, name string, r route, want int64) {
	user := c.config.User
	if user.UID == 0 {
		return
	}
	for _, at := range r.way {
		bits := want
		if at != r.end {
			bits = 0o1
		}
		if !at.permits(user, bits) {
			c.warnf("%s %s is not accessible to user %d with group %d: change its modes or owner", what, name, user.UID, user.GID)
			return
		}
	}
}

// permits reports whether a user has the rights to a file, as the bits for others are.
func (n *node) permits(user types.PluginConfigUser, bits int64) bool {
	switch {
	case n.uid == int(user.UID):
		bits <<= 6
	case n.gid == int(user.GID):
		bits <<= 3
	}
	return n.mode&bits == bits
}

// loader warns of a program whose loader or interpreter is missing.
func (c *checks) loader(name string, p *program) {
	if p.loader == "" {
		return
	}
	if !path.IsAbs(p.loader) {
		c.warnf("entrypoint %s names the interpreter %q, which is not an absolute path", name, p.loader)
		return
	}
	if c.tree.find(p.loader) != nil {
		c.runnable("interpreter", p.loader)
		return
	}
	if p.isELF {
		c.warnf("entrypoint %s is dynamically linked, and its loader %s is not in the rootfs: link it statically or add the loader and its libraries", name, p.loader)
		return
	}
	c.warnf("entrypoint %s is a script, and its interpreter %s is not in the rootfs", name, p.loader)
}

// machines are the machines of a platform's programs, by Go's names. A kernel runs
// programs of the 32-bit variant as well.
var machines = map[string][]elf.Machine{
	"386":      {elf.EM_386},
	"amd64":    {elf.EM_X86_64, elf.EM_386},
	"arm":      {elf.EM_ARM},
	"arm64":    {elf.EM_AARCH64, elf.EM_ARM},
	"loong64":  {elf.EM_LOONGARCH},
	"mips64le": {elf.EM_MIPS},
	"ppc64le":  {elf.EM_PPC64},
	"riscv64":  {elf.EM_RISCV},
	"s390x":    {elf.EM_S390},
}

// machine warns of a program for another machine than the platform's.
func (c *checks) machine(name string, p *program) {
	known, ok := machines[c.platform.Architecture]
	if p.isELF && ok && !slices.Contains(known, p.machine) {
		c.warnf("entrypoint %s is a program for %s, and the platform is %s/%s", name, p.machine, c.platform.OS, c.platform.Architecture)
	}
}

// workDir warns of a working directory that is not one. A runtime makes a missing one.
func (c *checks) workDir() {
	if c.config.WorkDir == "" {
		return
	}
	r := c.tree.walk(c.config.WorkDir, false)
	if r.end == nil {
		c.notDirectory("workdir", c.config.WorkDir)
		return
	}
	if r.end.kind != tar.TypeDir {
		c.warnf("workdir %s is not a directory", c.config.WorkDir)
		return
	}
	c.permits("workdir", c.config.WorkDir, r, 0o1)
}

// socketDirectory is where a plugin makes its socket. Each start mounts a directory of
// the host there, which belongs to the plugin's user.
const socketDirectory = "/run/docker/plugins"

// mountPoints warns of mount points that are not directories. A runtime makes missing
// ones.
func (c *checks) mountPoints() {
	c.notDirectory("socket directory", socketDirectory)
	if c.config.PropagatedMount != "" {
		c.notDirectory("propagatedMount", c.config.PropagatedMount)
	}
}

// notDirectory warns if a path can't become a directory, because a part of it is
// something else.
func (c *checks) notDirectory(what, name string) {
	made := "/"
	for part := range strings.SplitSeq(path.Clean("/"+name), "/") {
		made = path.Join(made, part)
		file := c.tree.find(made)
		if file == nil {
			return
		}
		if file.kind != tar.TypeDir {
			c.warnf("%s %s can't be a directory: %s is a file", what, name, made)
			return
		}
	}
}
