// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// checkHost reports mounts and processes of plugins that are not enabled.
func (c *rootChecker) checkHost() {
	root, err := filepath.EvalSymlinks(c.root)
	if err != nil {
		c.problem("find root: %v", err)
		return
	}
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		c.problem("list mounts: %v", err)
		return
	}
	for _, mount := range mounts {
		if below, ok := strings.CutPrefix(mount.Mountpoint, root+"/"); ok {
			c.checkMount(below)
		}
	}
	if home := mountOf(root, mounts); home != nil {
		c.checkProcesses(home, filepath.Join(home.Root, strings.TrimPrefix(root, home.Mountpoint)))
	}
}

// checkMount accepts mounts that an enabled plugin may share with the host.
func (c *rootChecker) checkMount(below string) {
	id, inside, _ := strings.Cut(below, "/")
	inStage := (id == "tmp" || id == "stages") && inside != ""
	if !beginsWithID.MatchString(id) && !inStage {
		return // the operator has put a part of the root on another disk
	}
	p, installed := c.plugins[id]
	shared := inside == "propagated-mount" || strings.HasPrefix(inside, "propagated-mount/")
	if !installed || !shared || p.PluginObj.Config.PropagatedMount == "" {
		c.problem("something is mounted at %s", below)
	}
}

// mountOf returns the mount that contains path.
func mountOf(path string, mounts []*mountinfo.Info) *mountinfo.Info {
	var home *mountinfo.Info
	for _, mount := range mounts {
		under := mount.Mountpoint == "/" || mount.Mountpoint == path || strings.HasPrefix(path, mount.Mountpoint+"/")
		if under && (home == nil || len(mount.Mountpoint) >= len(home.Mountpoint)) {
			home = mount
		}
	}
	return home
}

// checkProcesses reports processes that have the rootfs of a plugin that is not
// enabled as their root. Dir is the path of the manager's root within its file
// system.
func (c *rootChecker) checkProcesses(home *mountinfo.Info, dir string) {
	own, err := os.Stat("/")
	if err != nil {
		c.problem("look at the own root: %v", err)
		return
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		c.problem("list processes: %v", err)
		return
	}
	for _, process := range processes {
		if isRootOf(process, own) {
			continue
		}
		root, ok := rootOf(process)
		if !ok || root.Major != home.Major || root.Minor != home.Minor {
			continue
		}
		below, ok := strings.CutPrefix(root.Root, dir+"/")
		id, _, _ := strings.Cut(below, "/")
		if ok && beginsWithID.MatchString(id) && !c.isEnabled(id) {
			c.problem("process %s of plugin %s is alive, but the plugin is not enabled", filepath.Base(process), id)
		}
	}
}

// isRootOf reports whether dir is the root of a process. The checker's own root
// is that of most processes, and a comparison costs less than their mounts.
func isRootOf(process string, dir os.FileInfo) bool {
	root, err := os.Stat(filepath.Join(process, "root"))
	return err == nil && os.SameFile(root, dir)
}

// rootOf returns the mount that is the root of a process. ok is false if the
// process is gone.
func rootOf(process string) (root *mountinfo.Info, ok bool) {
	file, err := os.Open(filepath.Join(process, "mountinfo"))
	if err != nil {
		return nil, false
	}
	defer file.Close()
	mounts, err := mountinfo.GetMountsFromReader(bufio.NewReader(file), func(mount *mountinfo.Info) (skip, stop bool) {
		return mount.Mountpoint != "/", false
	})
	if err != nil || len(mounts) == 0 {
		return nil, false
	}
	return mounts[len(mounts)-1], true
}
