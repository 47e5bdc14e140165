// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/docker/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxDeviceFiles bounds the files that are searched for devices below one
// directory. It is a multiple of the files in any /dev.
const maxDeviceFiles = 1 << 14

var errTooManyFiles = fmt.Errorf("it has more than %d files: name the directory that holds the devices", maxDeviceFiles)

// devicesFrom returns the nodes that a path of the host leads to, and the cgroup
// rules that allow their use. Like docker it searches a directory at any depth.
func devicesFrom(name string, w *watch) (nodes []specs.LinuxDevice, allowed []specs.LinuxDeviceCgroup, err error) {
	resolved := name
	if walked := (tree{onLook: w.look}).walk(name); walked.err == nil {
		resolved = walked.at
	}
	if err := w.look(resolved, ""); err != nil {
		return nil, nil, err
	}
	if info, err := os.Stat(resolved); err != nil || !info.IsDir() {
		return oci.DevicesFromPath(resolved, name, "rwm")
	}
	files := 0
	err = filepath.WalkDir(resolved, func(place string, entry fs.DirEntry, err error) error {
		if files++; files > maxDeviceFiles {
			return errTooManyFiles
		}
		if err := w.look(place, ""); err != nil {
			return err
		}
		if err != nil || entry.Type()&(fs.ModeDevice|fs.ModeNamedPipe) == 0 {
			return nil // docker also skips files that it can't read
		}
		node, rule, err := oci.DevicesFromPath(place, strings.Replace(place, resolved, name, 1), "rwm")
		if err == nil {
			nodes, allowed = append(nodes, node...), append(allowed, rule...)
		}
		return nil
	})
	if err == nil && len(nodes) == 0 {
		err = errors.New("it is a directory without device nodes")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("find devices at %q: %w", name, err)
	}
	return nodes, allowed, nil
}

// node is a device node of the host.
type node struct {
	specs.LinuxDevice
	pin   string // type, numbers and path, relative to the path of the setting
	place string // without links
}

// nodesAt returns the device nodes that a path leads to; none if there are none.
func nodesAt(path string, w *watch) []node {
	found, _, err := devicesFrom(path, w)
	if err != nil {
		return nil
	}
	at := (tree{onLook: w.look}).walk(path).at
	nodes := make([]node, len(found))
	for i, device := range found {
		rest := strings.TrimPrefix(device.Path, path)
		pin := strings.TrimSpace(fmt.Sprintf("%s %d:%d %s", device.Type, device.Major, device.Minor, rest))
		nodes[i] = node{device, pin, filepath.Join(at, rest)}
	}
	return nodes
}

// pinsOf lists the device nodes that a path leads to, by type, numbers and
// relative path; nil if it leads to no file. A path that can't be followed leads to
// the nodes that the kernel finds there.
func pinsOf(path string, w *watch) []string {
	walked := (tree{onLook: w.look}).walk(path)
	if walked.err == nil && walked.missing > 0 {
		return nil
	}
	nodes := nodesAt(path, w)
	if walked.err != nil && len(nodes) == 0 {
		return nil
	}
	pins := make([]string, len(nodes))
	for i, node := range nodes {
		pins[i] = node.pin
	}
	return pins
}

// isKernels reports whether the kernel itself puts the device at the node's place
// in a devtmpfs. No plugin can give such a node other numbers, but the numbers
// change when the kernel finds devices in another order. See
// https://www.kernel.org/doc/Documentation/ABI/stable/sysfs-dev.
func (n node) isKernels(table *mountTable) bool {
	on := table.at(n.place)
	if on == nil || on.FSType != "devtmpfs" {
		return false
	}
	kind := map[string]string{"b": "block", "c": "char"}[n.Type]
	uevent, err := os.ReadFile(fmt.Sprintf("/sys/dev/%s/%d:%d/uevent", kind, n.Major, n.Minor))
	name := strings.TrimPrefix(table.id(n.place), deviceOf(on)+":/")
	return err == nil && slices.Contains(strings.Split(string(uevent), "\n"), "DEVNAME="+name)
}
