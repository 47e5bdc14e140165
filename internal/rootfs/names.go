package rootfs

import (
	"path"
	"strings"
)

// rootedName is where an entry of a layer lies below the root: as if the root
// were the file system's, so that neither an absolute name nor any number of
// ".." leaves it. It is empty for the root itself.
func rootedName(name string) string {
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

// contextName is where an entry of a build context lies. What layers clamp is
// refused here: no tool that packs a directory writes such names.
func contextName(name string) (string, error) {
	if strings.HasPrefix(name, "/") {
		return "", &EntryError{Entry: name, Reason: "its name is absolute"}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", &EntryError{Entry: name, Reason: `its name contains ".."`}
		}
	}
	return rootedName(name), nil
}
