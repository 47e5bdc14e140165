// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// pictured returns the transitions in the diagram of the package's doc comment,
// so that the diagram and the table can't diverge.
func pictured(t *testing.T) map[[2]string]string {
	t.Helper()
	source, err := os.ReadFile("lifecycle.go")
	assert.NilError(t, err)
	arrow := regexp.MustCompile(`([A-Z][A-Za-z|]*)? ?-([a-z]+)-> ([A-Z][a-z]+)`)
	all := map[[2]string]string{}
	for _, line := range strings.Split(string(source), "\n") {
		if !strings.HasPrefix(line, "//\t") {
			continue
		}
		from := ""
		for _, match := range arrow.FindAllStringSubmatch(line, -1) {
			if match[1] != "" {
				from = match[1]
			}
			for _, state := range strings.Split(from, "|") {
				all[[2]string{strings.ToLower(state), match[2]}] = strings.ToLower(match[3])
			}
			from = match[3]
		}
	}
	return all
}

func TestEveryPair(t *testing.T) {
	want := pictured(t)
	allowed := 0
	for from := Disabled; from <= Removed; from++ {
		for event := Enable; event <= Fail; event++ {
			to, err := Next(from, event)
			next, ok := want[[2]string{from.String(), event.String()}]
			if ok {
				allowed++
				assert.NilError(t, err, "%s -%s->", from, event)
				assert.Equal(t, to.String(), next, "%s -%s->", from, event)
				continue
			}
			var impossible *ImpossibleError
			assert.Assert(t, errors.As(err, &impossible), "%s -%s-> %s is not in the diagram", from, event, to)
			assert.Equal(t, *impossible, ImpossibleError{From: from, Event: event})
			assert.Equal(t, to, from, "a refused event changed the state")
		}
	}
	assert.Equal(t, allowed, len(want), "the diagram has a transition with unknown names")
	assert.Equal(t, allowed, 17)
}

func TestEveryStateButRemovedCanEnd(t *testing.T) {
	reaches := map[State]bool{Removed: true}
	for range transitions {
		for from, events := range transitions {
			for _, to := range events {
				reaches[from] = reaches[from] || reaches[to]
			}
		}
	}
	for state := Disabled; state <= Removed; state++ {
		assert.Check(t, reaches[state], "%s never leads to removed", state)
	}
	assert.Equal(t, len(transitions[Removed]), 0)
}
