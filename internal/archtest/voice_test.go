// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

var otherTree = flag.String("tree", "", "make TestVoice report the rates of the code below this `directory`, without limits")

// A habit is a construction of English that this project overused. Its limit is
// the highest rate of six code bases, as -tree reports it: containerd 2.1.4 (core,
// client), bbolt 1.4.3, log/slog and os/exec, tailscale 1.86.0 (util), oras-go
// 2.6.0, pebble 2.0.3. The term desired state has no exception.
type habit struct {
	name       string
	expression *regexp.Regexp
	except     *regexp.Regexp // does not count a match that it matches
	instead    string
	rate       float64 // the limit, in occurrences per 10,000 words
}

// words compiles an expression in which a space stands for any white space.
func words(expression string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)` + strings.ReplaceAll(expression, " ", `\s+`))
}

var never = regexp.MustCompile(`[^\s\S]`)

const (
	clauseSubject = `(it|they|there|that|this|these|those|nothing|neither|what|who|nobody|somebody|everybody|((the|a|an|no|its|their) )?[a-z]+ (is|are|was|were|has|have|had|may|can|must|does|do|would|could))`
	bareVerb      = `(be|do|read|write|make|run|fail|wait|stop|start|end|give|take|go|keep|hold|use|see|call|return|come|think|look|begin|crash|show|try|find|leave|ask|answer)`
)

var habits = []habit{
	{"tell", words(`\b(tells?|told|telling|sa(ys?|id) so)\b`), never, "reports, returns, lists, logs", 0.8},
	{"nobody", words(`\b(nobody|somebody|everybody|anybody)\b`), never, "name the party", 0.6},
	{"headless Who, What", words(`\b(?-i:Who|What|Whoever|Whatever) [^.?]*[.?]?`), regexp.MustCompile(`\?$`), "begin with a noun", 0.1},
	{"one that", words(`\bones? (that|whose|which|who)\b`), never, "repeat the noun", 0.6},
	{"whose", words(`\bwhose\b`), never, "two sentences", 6.4},
	{"as it is", words(`\bas (it|they) (is|are|was|were)\b`), never, "when, while", 2.8},
	{"of its own", words(`\b(of (its|their|one's) own|their own)\b`), never, "separate, private, or nothing", 1.4},
	{"of which", words(`\bof (which|whom)\b`), never, "two sentences", 0.4},
	{", too", words(`, too\b`), never, "also, before the verb", 0.7},
	{"beside", words(`\bbeside\b`), never, "besides, next to, compared with", 0},
	{"want of", words(`\bwant of\b`), never, "lack of; by the OOM killer", 0},
	{"who as a noun", words(`\b(by|to|of|for|from|with|than|but|and|or) who\b`), never, "the caller, callers that", 0},
	{"but for", words(`\bbut for\b`), never, "except", 0.8},
	{"is no", words(`\S+ (is|are|was|were) no [a-z]+`), words(`^(there|here) |no (longer|more|less|such)$`), "is not a; does not prevent", 0.4},
	{"under way", words(`\bunder way\b`), never, "in progress", 0},
	{"meanwhile", words(`\bmeanwhile\b`), never, "concurrently, until then", 0.3},
	{"for, because", words(`[,;:] for ` + clauseSubject + `\b`), never, "because, since", 0},
	{"has X do", words(`\b(has|have|had) (it|them|((a|an|the|its) )?[a-z]+) ` + bareVerb + `\b`), words(` to [a-z]+$`), "makes X happen, runs X", 1},
	{"wish", words(`\bwish(es|ed)?\b`), never, "desired state", 0},
	{"id", words(`\b(?-i:([Tt]he|[Aa]n?|[Ii]ts|by|no|this|same|unknown|plugin's|reserved|fresh|free|lower) id|(all|the|of|these|their|unknown|plugin|with) ids)\b`), never, "ID, IDs", 0},
	{": give", words(`[:;] give\b`), never, "use, set, pass", 0},
}

// find returns where the habit occurs in text.
func (h habit) find(text string) [][]int {
	return slices.DeleteFunc(h.expression.FindAllStringIndex(text, -1), func(at []int) bool {
		return h.except.MatchString(text[at[0]:at[1]])
	})
}

// TestVoice holds the prose to the rates of other code bases, separately for
// what users read (docs of packages that they can import, texts in the code,
// pages) and for the other comments, with those and the names of tests. With -v it lists
// every place, file by file.
func TestVoice(t *testing.T) {
	if *otherTree != "" {
		reportRates(t, *otherTree)
		return
	}
	all, err := passages(os.DirFS(filepath.Join("..", "..")))
	assert.NilError(t, err)
	public, comments := split(all, func(p passage) bool { return p.public })
	report(t, "public", public)
	report(t, "comments", comments)
	t.Logf("public %s\ncomments %s", rates(public), rates(comments))
}

// reportRates lists how often each habit occurs in other code.
func reportRates(t *testing.T, directory string) {
	t.Helper()
	all, err := passages(os.DirFS(directory))
	assert.NilError(t, err)
	t.Log(rates(all))
}

// rates is a row of the table in docs/decisions/style.md.
func rates(in []passage) string {
	count := wordCount(in)
	var row strings.Builder
	fmt.Fprintf(&row, "| %d |", count)
	for _, h := range habits {
		fmt.Fprintf(&row, " %.1f |", per10000(len(occurrences(h, in)), count))
	}
	return row.String()
}

// report compares the occurrences of each habit with its limit.
func report(t *testing.T, scope string, in []passage) {
	t.Helper()
	count := wordCount(in)
	for _, h := range habits {
		places := occurrences(h, in)
		allowed := int(h.rate * float64(count) / 10_000)
		text := fmt.Sprintf("%s: %s: %d occurrences, %d allowed, %.1f per 10,000 words; write instead: %s\n%s",
			scope, h.name, len(places), allowed, per10000(len(places), count), h.instead, strings.Join(places, "\n"))
		if len(places) > allowed {
			t.Error(text)
		} else if testing.Verbose() {
			t.Log(text)
		}
	}
}

func per10000(occurrences, words int) float64 {
	return float64(occurrences) * 10_000 / float64(max(words, 1))
}

// occurrences lists the places of a habit, with the words around each.
func occurrences(h habit, in []passage) (places []string) {
	for _, p := range in {
		for _, at := range h.find(p.text) {
			places = append(places, fmt.Sprintf("%s:%d: %s: %s", p.path, p.lineOf(at[0]), h.name, p.around(at)))
		}
	}
	return places
}

func TestHabitsAreFound(t *testing.T) {
	tests := []struct{ name, text string }{
		{"tell", "It tells\nthe caller"},
		{"nobody", "nobody's business"},
		{"headless Who, What", "It ends. What can't be\nswept stays."},
		{"one that", "one\nthat failed"},
		{"whose", "a plugin whose record"},
		{"as it is", "as it is disabled"},
		{"of its own", "a goroutine of its own"},
		{"of which", "the name, of which the tag"},
		{", too", "and this, too."},
		{"beside", "beside docker"},
		{"want of", "for want of memory"},
		{"who as a noun", "closed by who made it"},
		{"but for", "nothing but for that"},
		{"is no", "a socket is no file"},
		{"under way", "a verb under way"},
		{"meanwhile", "Meanwhile it runs"},
		{"for, because", "not closed, for it is shared"},
		{"for, because", "not closed, for the process is shared"},
		{"has X do", "has a handler read it"},
		{"has X do", "have them fail"},
		{"wish", "the wished state"},
		{"id", "found by id"},
		{"id", "Its id is free"},
		{"id", "all ids"},
		{": give", "negative: give seconds"},
	}
	for _, tt := range tests {
		found := slices.IndexFunc(habits, func(h habit) bool { return h.name == tt.name })
		assert.Assert(t, found >= 0, tt.name)
		assert.Check(t, len(habits[found].find(tt.text)) == 1, "%s: %s", tt.name, tt.text)
	}
	for _, h := range habits {
		const plain = `What is a plugin? There is no plugin. It is no longer here, for example. A plugin has to run, and it has the right to
read. The wishlist, the besides and the tolds: use seconds. When it is disabled the plugin stops; for each mount one mount has been made.`
		assert.Check(t, len(h.find(plain)) == 0, h.name)
	}
}
