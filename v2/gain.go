// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"path"
	"slices"
	"strings"

	"github.com/docker/docker/api/types"
)

// gain describes the access that a plugin gains if the source of one mount moves
// to another; empty if none. The text completes a sentence that begins with the
// mount's name.
func gain(from, to types.PluginMount) string {
	was, is := runtimeOptions(from), runtimeOptions(to)
	switch {
	case path.Join("/", from.Destination) != path.Join("/", to.Destination):
		return "is mounted at " + path.Join("/", to.Destination) + " in the new version, it was at " + path.Join("/", from.Destination)
	case bindsFiles(from) != bindsFiles(to), !bindsFiles(to) && from.Type != to.Type:
		return "is mounted in another way in the new version: its type is " + to.Type
	case !bindsFiles(to):
		if !slices.Equal(was, is) {
			return "is mounted with other options in the new version: " + strings.Join(is, ",")
		}
		return ""
	}
	for _, lifted := range restrictions(was) {
		if !slices.Contains(restrictions(is), lifted) {
			return "is mounted without " + lifted + " in the new version"
		}
	}
	for _, extension := range []string{"shared", "rshared", "rbind"} {
		if slices.Contains(is, extension) && !slices.Contains(was, extension) {
			return "is mounted with " + extension + " in the new version"
		}
	}
	return ""
}

// restrictions returns the effective restrictions among the options of a bind: a
// word with the prefix r for the mount and all below it, without the prefix for
// the mount alone. Of a word and its opposite the last wins. Runtimes apply
// recursive attributes after the others, in any order of options, see
// https://man7.org/linux/man-pages/man2/mount_setattr.2.html.
func restrictions(options []string) []string {
	opposites := map[string]string{"ro": "rw", "nosuid": "suid", "nodev": "dev", "noexec": "exec", "nosymfollow": "symfollow"}
	var kept []string
	for _, restriction := range []string{"ro", "nosuid", "nodev", "noexec", "nosymfollow"} {
		opposite := opposites[restriction]
		restricted, lifted := lastIndex(options, "r"+restriction), lastIndex(options, "r"+opposite)
		switch {
		case restricted > lifted:
			kept = append(kept, "r"+restriction, restriction)
		case lifted < 0 && lastIndex(options, restriction) > lastIndex(options, opposite):
			kept = append(kept, restriction)
		}
	}
	return kept
}

// isWritable reports whether a bind with options is writable, without the mounts
// below it.
func isWritable(options []string) bool { return !slices.Contains(restrictions(options), "ro") }

// isWritableBelow reports whether the mounts below a recursive bind are writable.
func isWritableBelow(options []string) bool {
	return slices.Contains(options, "rbind") && !slices.Contains(restrictions(options), "rro")
}

func lastIndex(list []string, word string) int {
	for i, other := range slices.Backward(list) {
		if other == word {
			return i
		}
	}
	return -1
}
