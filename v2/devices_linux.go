package v2

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/docker/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxDeviceFiles is how many files of a directory are looked at for devices: a
// multiple of what any /dev holds.
const maxDeviceFiles = 1 << 14

var errTooManyFiles = fmt.Errorf("it has more than %d files: give the directory that holds the devices", maxDeviceFiles)

// devicesFrom returns the nodes that a path of the host leads to, and the right
// to use them. Those of a directory are searched for at any depth, as docker
// does.
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
			return nil // docker passes over what it can't look at
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

// pinsOf says which device nodes a path leads to; nothing if there are none.
func pinsOf(path string, w *watch) []string {
	nodes, _, err := devicesFrom(path, w)
	if err != nil {
		return []string{}
	}
	pins := make([]string, len(nodes))
	for i, node := range nodes {
		pins[i] = strings.TrimSpace(fmt.Sprintf("%s %d:%d %s", node.Type, node.Major, node.Minor, strings.TrimPrefix(node.Path, path)))
	}
	return pins
}
