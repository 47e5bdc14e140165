package plugintest

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// checkHost looks for mounts and processes that nobody attends.
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

// checkMount lets pass what a plugin may share with the host.
func (c *rootChecker) checkMount(below string) {
	id, inside, _ := strings.Cut(below, "/")
	inStage := (id == "tmp" || id == "stages") && inside != ""
	if !beginsWithID.MatchString(id) && !inStage {
		return // somebody's who divides the root among disks
	}
	p, installed := c.plugins[id]
	shared := inside == "propagated-mount" || strings.HasPrefix(inside, "propagated-mount/")
	if !installed || !shared || p.PluginObj.Config.PropagatedMount == "" {
		c.problem("something is mounted at %s", below)
	}
}

// mountOf returns the mount that path is on.
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

// checkProcesses looks for processes whose root is a plugin's rootfs: dir is
// the manager's root as the file system itself names it.
func (c *rootChecker) checkProcesses(home *mountinfo.Info, dir string) {
	processes, err := filepath.Glob("/proc/[0-9]*/mountinfo")
	if err != nil {
		c.problem("list processes: %v", err)
		return
	}
	for _, process := range processes {
		root, ok := rootOf(process)
		if !ok || root.Major != home.Major || root.Minor != home.Minor {
			continue
		}
		below, ok := strings.CutPrefix(root.Root, dir+"/")
		id, _, _ := strings.Cut(below, "/")
		if ok && beginsWithID.MatchString(id) && !c.isEnabled(id) {
			c.problem("process %s of plugin %s lives, which is not enabled", filepath.Base(filepath.Dir(process)), id)
		}
	}
}

// rootOf returns what a process has mounted as its root; ok is false when the
// process is gone.
func rootOf(process string) (root *mountinfo.Info, ok bool) {
	file, err := os.Open(process)
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
