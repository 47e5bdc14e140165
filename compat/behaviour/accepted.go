// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"regexp"
	"strings"
	"sync"
)

// Accepted is every difference that is allowed. Each must also occur.
var Accepted = []Group{verbDifferences, classDifferences, eventDifferences, specDifferences, diskDifferences}

// Group is differences of one kind.
type Group struct {
	Kind        string
	Differences []Difference
}

// Difference is an accepted difference: in words, and as the observations that
// show it.
type Difference struct {
	Docker, Ours, Why string
	Seen              []Seen
}

// Seen matches the deviations by which a difference shows. Steps and Aspect are
// patterns: a star matches any text, a bar separates alternatives. In Docker
// and Ours a star matches any text as well, and a single plus any text that is
// not empty.
type Seen struct {
	Steps, Aspect, Docker, Ours string
}

func (s Seen) explains(d Deviation) bool {
	return matchAny(s.Steps, d.Step) && matchAny(s.Aspect, d.Aspect) && matchValue(s.Docker, d.Docker) && matchValue(s.Ours, d.Ours)
}

func matchAny(patterns, text string) bool {
	for pattern := range strings.SplitSeq(patterns, "|") {
		if match(pattern, text) {
			return true
		}
	}
	return false
}

func matchValue(pattern, text string) bool {
	if pattern == something {
		return text != ""
	}
	return match(pattern, text)
}

var patterns sync.Map // compiled, by text

func match(pattern, text string) bool {
	compiled, ok := patterns.Load(pattern)
	if !ok {
		quoted := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`)
		compiled, _ = patterns.LoadOrStore(pattern, regexp.MustCompile(`(?s)^`+quoted+`$`))
	}
	return compiled.(*regexp.Regexp).MatchString(text)
}

// Account matches deviations against the accepted differences. It returns the
// deviations that no Seen explains, and the Seen that explain no deviation, or
// only deviations that an earlier Seen explains.
func Account(deviations []Deviation, groups []Group) (unexplained []Deviation, idle []Seen) {
	used := map[Seen]bool{}
	var all []Seen
	for _, group := range groups {
		for _, difference := range group.Differences {
			all = append(all, difference.Seen...)
		}
	}
	for _, d := range deviations {
		explained := false
		for _, seen := range all {
			if explained = seen.explains(d); explained {
				used[seen] = true
				break
			}
		}
		if !explained {
			unexplained = append(unexplained, d)
		}
	}
	for _, seen := range all {
		if !used[seen] {
			idle = append(idle, seen)
		}
	}
	return unexplained, idle
}
