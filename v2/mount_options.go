package v2

import (
	"slices"
	"strings"

	"github.com/docker/docker/api/types"
)

// Docker hands a mount's options to the runtime word by word. Runtimes take
// words they don't know for data of the file system; a bind has none, so runc
// ignored them until 1.1 and refuses them from 1.2 on. Here they never reach it.

// mountWords returns the options of m one by one; some configs write several
// into one, with commas.
func mountWords(m types.PluginMount) []string {
	var words []string
	for _, option := range m.Options {
		for word := range strings.SplitSeq(option, ",") {
			if word = strings.TrimSpace(word); word != "" {
				words = append(words, word)
			}
		}
	}
	return words
}

// bindTypes are the types of binds; with an option that says bind the type has
// no meaning.
var bindTypes = []string{"bind", "rbind", "none", ""}

// bindsFiles reports whether m shows files of the host.
func bindsFiles(m types.PluginMount) bool {
	return m.Type == "rbind" || isBind(m.Type, mountWords(m))
}

func isBind(typ string, options []string) bool {
	return typ == "bind" || slices.Contains(options, "bind") || slices.Contains(options, "rbind")
}

// runtimeOptions returns the options of m as runtimes understand them.
func runtimeOptions(m types.PluginMount) []string {
	var options []string
	binds := bindsFiles(m)
	for _, word := range mountWords(m) {
		if word == "readonly" {
			word = "ro"
		}
		if !slices.Contains(idleWords, word) && (!binds || slices.Contains(bindWords, word)) {
			options = append(options, word)
		}
	}
	if binds && !slices.Contains(options, "bind") && !slices.Contains(options, "rbind") {
		options = append(options, "rbind")
	}
	return options
}

// idleWords change nothing for any mount of a plugin: the default, and mappings
// of ids, which a config has no place for.
var idleWords = []string{"defaults", "idmap", "ridmap"}

// bindWords are the words of the OCI runtime specification that mean something
// to a bind, see
// https://github.com/opencontainers/runtime-spec/blob/v1.2.1/config.md#mounts.
// All of them are known to runc 1.1.
var bindWords = strings.Fields(`
	async atime bind dev diratime dirsync exec iversion
	lazytime loud mand noatime nodev nodiratime noexec noiversion
	nolazytime nomand norelatime nostrictatime nosuid nosymfollow private
	rbind rdev rdiratime relatime remount rexec rnoatime rnodev
	rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro
	ratime rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid
	rsymfollow runbindable rw shared silent slave strictatime suid symfollow
	sync unbindable`)
