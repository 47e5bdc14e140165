package crash

import (
	"regexp"
	"strings"
)

// kinds sorts what plugintest.CheckRoot finds. What is found of one plugin is
// one violation of its kind, however many files or blobs it is about.
var kinds = []struct {
	pattern *regexp.Regexp // its group is of whom
	kind    string
}{
	{regexp.MustCompile(`^(plugin [0-9a-f]{64}): (?:rootfs: |it has no rootfs)`), "a plugin does not have the files of its version"},
	{regexp.MustCompile(`^(plugin [0-9a-f]{64}): read record`), "a plugin's record is missing or can't be read"},
	{regexp.MustCompile(`^plugins .* are both named (.*)$`), "two plugins have one name"},
	{regexp.MustCompile(`^(blob \S+) does not have the bytes`), "a blob has wrong bytes"},
	{regexp.MustCompile(`^(plugin [0-9a-f]{64}) runs`), "a plugin runs that is not enabled"},
	{regexp.MustCompile(`^(sockets of plugin [0-9a-f]{64}) are left`), "sockets of a run are left"},
	{regexp.MustCompile(`^(stage \S+|[0-9a-f]{64}\S*|plugin [0-9a-f]{64}: \S+|storage/\S+) is left`), "files of an install, an upgrade or a removal are left"},
}

// violation is one thing that is wrong.
type violation struct{ kind, of string }

func sortOut(problem string) violation {
	for _, k := range kinds {
		if match := k.pattern.FindStringSubmatch(problem); match != nil {
			return violation{k.kind, match[1]}
		}
	}
	return violation{problem, problem}
}

// isLeftover tells what a manager may still be deleting, or delete at its next
// start.
func (v violation) isLeftover() bool { return strings.HasSuffix(v.kind, " left") }

// sightings is how often each thing that is wrong was found without a break.
type sightings map[violation]int

// next returns what is to be counted of the problems of the next day: what is
// seen first, and leftovers that outlasted one more start.
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
