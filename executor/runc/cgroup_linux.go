// SPDX-License-Identifier: Apache-2.0

package runc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// cgroupsOf returns the directories of the cgroups that processes are in and
// that are named after id. A runtime that was killed before it wrote its state
// does not remove them.
func cgroupsOf(id string, pids ...int) (directories []string) {
	for _, pid := range pids {
		for hierarchy, path := range membership(pid) {
			directory := hierarchyMount(hierarchy).file(path, "")
			if strings.Contains(filepath.Base(path), id) && directory != "" && !slices.Contains(directories, directory) {
				directories = append(directories, directory)
			}
		}
	}
	return directories
}

// removeCgroups removes cgroups without processes.
func removeCgroups(directories []string) error {
	var problems []error
	for _, directory := range directories {
		if err := unix.Rmdir(directory); err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, fmt.Errorf("remove cgroup %s: %w", directory, err))
		}
	}
	return errors.Join(problems...)
}

// membership returns the cgroups of process pid by the controllers of their
// hierarchy; the key of version 2 is empty. Lines have the form
// hierarchy-ID:controller-list:path, see
// https://man7.org/linux/man-pages/man7/cgroups.7.html.
func membership(pid int) map[string]string {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil
	}
	found := make(map[string]string)
	for line := range strings.Lines(string(content)) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) == 3 {
			found[fields[1]] = fields[2]
		}
	}
	return found
}

// hierarchyMount returns where the hierarchy with the controllers is mounted.
func hierarchyMount(controllers string) cgroupMount {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return cgroupMount{}
	}
	for _, mount := range mounts {
		options := strings.Split(mount.VFSOptions, ",")
		first, _, _ := strings.Cut(controllers, ",")
		if (mount.FSType == "cgroup2") == (controllers == "") && (controllers == "" || slices.Contains(options, first)) {
			return cgroupMount{mount.Mountpoint, mount.Root}
		}
	}
	return cgroupMount{}
}
