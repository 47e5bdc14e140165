package behaviour

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Recording is all that was seen of one subject, by step and aspect. What was
// not seen has no entry.
type Recording map[Key]string

// Key names an observation.
type Key struct {
	// Step is the scenario and the step in it, as "create/again".
	Step string
	// Aspect is what was seen: class, text, events, log, logged name, spec, or
	// what the step itself calls it; a part of it follows a dot or stands in
	// brackets, as "spec.process.cwd".
	Aspect string
}

func (k Key) compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Step, other.Step), cmp.Compare(k.Aspect, other.Aspect))
}

// whole is the key of what k is a part of.
func (k Key) whole() Key {
	if i := strings.IndexAny(k.Aspect, ".["); i > 0 {
		k.Aspect = k.Aspect[:i]
	}
	return k
}

// Deviation is an observation that two subjects do not share.
type Deviation struct {
	Key
	Docker, Ours string
}

// seen stands for the parts of what only one subject has.
const seen = "seen"

// Compare returns where two recordings deviate, ordered by step and aspect.
// What one subject lacks altogether is one deviation, whatever its parts are.
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
