// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"slices"
	"strings"

	"github.com/docker/docker/api/types"
)

// Docker passes a mount's options to the runtime word by word. Runtimes treat
// unknown words as data of the file system. A bind has no such data: runc up to
// 1.1 ignores unknown words there, and runc 1.2 and later refuse them. InitSpec
// removes them.

// mountWords returns the options of m one by one; some configs write several
// into one, separated by commas.
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

// bindTypes are the types that configs write for binds. With the option bind or
// rbind the type has no effect.
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

// idleWords have no effect on any mount of a plugin: the default, and mappings
// of IDs, which a config can't describe.
var idleWords = []string{"defaults", "idmap", "ridmap"}

// bindWords are the words of the OCI runtime specification that affect a bind,
// see https://github.com/opencontainers/runtime-spec/blob/v1.2.1/config.md#mounts.
// runc 1.1 knows all of them.
var bindWords = strings.Fields(`
	async atime bind dev diratime dirsync exec iversion
	lazytime loud mand noatime nodev nodiratime noexec noiversion
	nolazytime nomand norelatime nostrictatime nosuid nosymfollow private
	rbind rdev rdiratime relatime remount rexec rnoatime rnodev
	rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro
	ratime rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid
	rsymfollow runbindable rw shared silent slave strictatime suid symfollow
	sync unbindable`)
