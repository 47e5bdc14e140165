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

// restrictions returns what options of a bind keep a plugin from; of a word and
// its opposite the last one counts.
func restrictions(options []string) []string {
	opposites := map[string]string{"ro": "rw", "nosuid": "suid", "nodev": "dev", "noexec": "exec", "nosymfollow": "symfollow"}
	var kept []string
	for _, restriction := range []string{"ro", "nosuid", "nodev", "noexec", "nosymfollow"} {
		for _, recursive := range []string{"", "r"} {
			restricts := lastIndex(options, recursive+restriction)
			if restricts >= 0 && restricts > lastIndex(options, recursive+opposites[restriction]) {
				kept = append(kept, recursive+restriction)
			}
		}
	}
	return kept
}

func lastIndex(list []string, word string) int {
	for i, other := range slices.Backward(list) {
		if other == word {
			return i
		}
	}
	return -1
}
