// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dovetailhq/plugin/compat/internal/subject"
)

// See notes a value. It notes each part of a value that is not a plain text.
func (r *Run) See(step, aspect string, value any) {
	for part, text := range flatten(aspect, value) {
		r.note(step, part, text)
	}
}

// Hide replaces a word that differs between runs by a stand-in.
func (r *Run) Hide(word, stand string) { r.words = append(r.words, word, stand) }

// patience bounds how long Await waits, because one subject never sends some
// events.
const patience = 3 * time.Second

// Await is a step. It records the events up to last, or those that arrive within
// patience.
func (r *Run) Await(step, last string) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	var seen []string
	for !slices.Contains(seen, last) {
		select {
		case event := <-r.events:
			seen = append(seen, subject.Describe(event))
			continue
		case <-timeout.C:
		}
		break
	}
	r.note(step, "events", strings.Join(seen, "\n"))
}

func (r *Run) drainEvents() []string {
	var drained []string
	for {
		select {
		case event, ok := <-r.events:
			if !ok {
				return drained
			}
			drained = append(drained, subject.Describe(event))
		default:
			return drained
		}
	}
}

func (r *Run) drainLog() []action {
	r.mu.Lock()
	defer r.mu.Unlock()
	drained := r.actions
	r.actions = nil
	return drained
}

// noteLog notes the logged actions and, separately, the logged names.
func (r *Run) noteLog(step string) {
	var actions, names []string
	for _, a := range r.drainLog() {
		actions = append(actions, fmt.Sprintf("%s %s", a.action, a.id))
		names = append(names, a.name)
	}
	r.note(step, "log", strings.Join(actions, "\n"))
	r.note(step, "logged name", strings.Join(names, "\n"))
}

// noteSpecs notes the specs that the executor has got since the last call.
func (r *Run) noteSpecs(step string) {
	for id := range r.ids {
		asked := r.Executor.Specs(id)
		for _, spec := range asked[r.specs[id]:] {
			r.See(step, "spec", spec)
		}
		r.specs[id] = len(asked)
	}
}

var (
	anyID      = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	anyElapsed = regexp.MustCompile(`after [0-9.]+(m|µ)?s`)
)

// note keeps an observation, with stand-ins for IDs, directories and other
// words that differ between runs.
func (r *Run) note(step, aspect, value string) {
	if value != "" {
		r.recording[Key{r.scenario + "/" + step, r.stable(aspect)}] = r.stable(value)
	}
}

func (r *Run) stable(text string) string {
	text = strings.NewReplacer(r.words...).Replace(text)
	text = anyID.ReplaceAllStringFunc(text, func(id string) string {
		if name, ok := r.ids[id]; ok {
			return "ID(" + strings.ReplaceAll(name, r.Host, "REGISTRY") + ")"
		}
		return "ID"
	})
	return anyElapsed.ReplaceAllString(text, "after TIME")
}
