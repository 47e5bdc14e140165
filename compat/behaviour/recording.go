// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Recording is all observations of one subject, by step and aspect.
type Recording map[Key]string

// Key names an observation.
type Key struct {
	// Step is the scenario and its step, such as "create/again".
	Step string
	// Aspect is the kind of observation: class, text, events, log, logged name,
	// spec, or a name that the step chooses. A part follows after a dot or in
	// brackets, such as "spec.process.cwd".
	Aspect string
}

func (k Key) compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Step, other.Step), cmp.Compare(k.Aspect, other.Aspect))
}

// whole returns the key of the value that k is a part of.
func (k Key) whole() Key {
	if i := strings.IndexAny(k.Aspect, ".["); i > 0 {
		k.Aspect = k.Aspect[:i]
	}
	return k
}

// Deviation is an observation that differs between two subjects.
type Deviation struct {
	Key
	Docker, Ours string
}

// seen stands for all parts of a value that only one subject has.
const seen = "seen"

// Compare returns the deviations of two recordings, ordered by step and aspect.
// A value that one subject lacks is one deviation, however many parts it has.
func Compare(docker, ours Recording) []Deviation {
	dockerWholes, oursWholes := wholes(docker), wholes(ours)
	keys := maps.Clone(docker)
	maps.Copy(keys, ours)
	found := map[Key]Deviation{}
	for key := range keys {
		whole := key.whole()
		inDocker, inOurs := dockerWholes[whole], oursWholes[whole]
		switch {
		case key == whole || inDocker && inOurs:
			if docker[key] != ours[key] {
				found[key] = Deviation{Key: key, Docker: docker[key], Ours: ours[key]}
			}
		case inDocker:
			found[whole] = Deviation{Key: whole, Docker: seen}
		default:
			found[whole] = Deviation{Key: whole, Ours: seen}
		}
	}
	var deviations []Deviation
	for _, key := range slices.SortedFunc(maps.Keys(found), Key.compare) {
		deviations = append(deviations, found[key])
	}
	return deviations
}

func wholes(r Recording) map[Key]bool {
	all := map[Key]bool{}
	for key := range r {
		all[key.whole()] = true
	}
	return all
}
