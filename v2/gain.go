package v2

import (
	"path"
	"slices"
	"strings"

	"github.com/docker/docker/api/types"
)

// gain says what a plugin gains if a source that was chosen for one mount is
// given to another; empty if nothing. It continues the mount's name to a
// sentence.
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

// restrictions returns what options of a bind keep a plugin from: a word with an
// r in front of it for the mount and all below it, without for the mount alone.
// Runtimes apply recursive attributes last, wherever they are written, see
// mount_setattr(2); of a word and its opposite the last one counts.
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

// isWritable reports whether a plugin can write to what is mounted with options,
// but for other mounts below it.
func isWritable(options []string) bool { return !slices.Contains(restrictions(options), "ro") }

// isWritableBelow reports the same about the mounts below, which a recursive bind
// brings.
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
