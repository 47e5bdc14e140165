// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"regexp"
	"strings"
)

// kinds classifies the findings of plugintest.CheckRoot. All findings of a kind
// about one plugin are one violation, however many files or blobs they name.
var kinds = []struct {
	pattern *regexp.Regexp // the group is the plugin
	kind    string
}{
	{regexp.MustCompile(`^(plugin [0-9a-f]{64}): (?:rootfs: |it has no rootfs)`), "a plugin does not have the files of its version"},
	{regexp.MustCompile(`^(plugin [0-9a-f]{64}): read record`), "a plugin's record is missing or can't be read"},
	{regexp.MustCompile(`^plugins .* are both named (.*)$`), "two plugins have one name"},
	{regexp.MustCompile(`^(blob \S+) is corrupt`), "a blob is corrupt"},
	{regexp.MustCompile(`^(plugin [0-9a-f]{64}) runs`), "a plugin runs that is not enabled"},
	{regexp.MustCompile(`^(sockets of plugin [0-9a-f]{64}) are left`), "sockets of a run are left"},
	{regexp.MustCompile(`^(stage \S+|[0-9a-f]{64}\S*|plugin [0-9a-f]{64}: \S+|storage/\S+) is left`), "files of an install, an upgrade or a removal are left"},
}

// violation is a kind of finding about one plugin.
type violation struct{ kind, of string }

func sortOut(problem string) violation {
	for _, k := range kinds {
		if match := k.pattern.FindStringSubmatch(problem); match != nil {
			return violation{k.kind, match[1]}
		}
	}
	return violation{problem, problem}
}

// isLeftover reports whether the manager can still be deleting it, or delete it
// at its next start.
func (v violation) isLeftover() bool { return strings.HasSuffix(v.kind, " left") }

// sightings is how often in a row each violation was found.
type sightings map[violation]int

// next returns the violations to count after another run: those found for the
// first time, and leftovers that are still there after one more start.
func (s sightings) next(problems []string) (counted []violation, next sightings) {
	next = sightings{}
	for _, problem := range problems {
		v := sortOut(problem)
		if next[v] > 0 {
			continue
		}
		next[v] = s[v] + 1
		if v.isLeftover() && next[v] == 2 || !v.isLeftover() && next[v] == 1 {
			counted = append(counted, v)
		}
	}
	return counted, next
}
