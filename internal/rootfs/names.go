// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"path"
	"strings"
)

// rootedName returns the path of a layer's entry below the root. It treats the
// root as the root of the file system, so that neither an absolute name nor any
// number of ".." leaves it. It returns "" for the root itself.
func rootedName(name string) string {
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

// contextName returns the path of a build context's entry. It refuses absolute
// names and "..", which [rootedName] clamps: no tool that packs a directory
// writes them.
func contextName(name string) (string, error) {
	if strings.HasPrefix(name, "/") {
		return "", &EntryError{Entry: name, Reason: "name is absolute"}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", &EntryError{Entry: name, Reason: `name contains ".."`}
		}
	}
	return rootedName(name), nil
}
