package behaviour

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dovetailhq/plugin/compat/internal/subject"
)

// See notes a value; of one that is more than text, each part.
func (r *Run) See(step, aspect string, value any) {
	for part, text := range flatten(aspect, value) {
		r.note(step, part, text)
	}
}

// Hide lets a word stand for what differs between any two runs.
func (r *Run) Hide(word, stand string) { r.words = append(r.words, word, stand) }

// patience is how long Await waits for an event that one subject never sends.
const patience = 3 * time.Second

// Await is a step: it notes the events up to a last one, or those that come
// while it has patience.
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

// noteLog notes what was logged, and under which names, apart.
func (r *Run) noteLog(step string) {
	var actions, names []string
	for _, a := range r.drainLog() {
		actions = append(actions, fmt.Sprintf("%s %s", a.action, a.id))
		names = append(names, a.name)
	}
	r.note(step, "log", strings.Join(actions, "\n"))
	r.note(step, "logged name", strings.Join(names, "\n"))
}

// noteSpecs notes what the executor was asked to run since it was last done.
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

// note keeps an observation. What differs between any two runs, such as ids
// and directories, is replaced by what it stands for.
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
