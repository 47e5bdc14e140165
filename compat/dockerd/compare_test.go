// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dockerd

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// changing lists the parts of outputs that differ between two runs of a story.
var changing = []struct {
	pattern *regexp.Regexp
	stand   string
}{
	// The command line logs this if a context is refused before it has been sent.
	{regexp.MustCompile(`(?m)^time="[^"]*" level=error msg="Can't [^\n]*\n?`), ""},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "ID"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "ID"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?[-+]\d{4}| ?Z)?( UTC)?`), "TIME"},
	{regexp.MustCompile(`(Less than a second|About a minute|About an hour|\d+ (seconds?|minutes?)) ago`), "AGO"},
	{regexp.MustCompile(`Up (Less than a second|About a minute|\d+ (seconds?|minutes?))`), "Up AGO"},
	{regexp.MustCompile(`\) (Less than a second|About a minute|\d+ (seconds?|minutes?))`), ") AGO"},
	{regexp.MustCompile(`\d+(\.\d+)?(e[-+]\d+)?(ns|µs|ms|s)\b`), "DURATION"},
	{regexp.MustCompile(`time=\d+(\.\d+)? ms`), "time=DURATION"},
	{regexp.MustCompile(`[ \t]+`), " "},
}

func normal(text string) string {
	for _, c := range changing {
		text = c.pattern.ReplaceAllString(text, c.stand)
	}
	return strings.TrimSpace(text)
}

// difference is an accepted difference between the daemons. The patterns are
// regular expressions for the whole normalised output.
type difference struct {
	step        string // the beginning of the steps that show it
	stock, ours string
	why         string
}

func (d difference) matches(stock, ours record) bool {
	whole := func(pattern, text string) bool {
		return regexp.MustCompile(`(?s)^` + pattern + `$`).MatchString(text)
	}
	return strings.Contains(stock.Step, d.step) && whole(d.stock, shown(stock)) && whole(d.ours, shown(ours))
}

// shown is what is compared of a record.
func shown(r record) string { return fmt.Sprintf("%d %s", r.Code, normal(r.Output)) }

// compare fails for differences that are not listed, and for those that are and do
// not occur.
func compare(t *testing.T, stock, ours []record, accepted []difference) {
	t.Helper()
	seen := make([]bool, len(accepted))
	for i := range min(len(stock), len(ours)) {
		if stock[i].Step != ours[i].Step {
			t.Fatalf("step %d is %q with stock and %q with ours", i, stock[i].Step, ours[i].Step)
		}
		if shown(stock[i]) == shown(ours[i]) {
			continue
		}
		explained := false
		for j, difference := range accepted {
			if difference.matches(stock[i], ours[i]) {
				explained, seen[j] = true, true
			}
		}
		if !explained {
			t.Errorf("unlisted difference in %s\n  stock: %s\n  ours:  %s", stock[i].Step, shown(stock[i]), shown(ours[i]))
		}
	}
	if len(stock) != len(ours) {
		t.Errorf("%d steps with stock, %d with ours", len(stock), len(ours))
	}
	for j, difference := range accepted {
		if !seen[j] {
			t.Errorf("listed difference does not occur: %+v", difference)
		}
	}
	if len(stock) == 0 {
		t.Error("no steps to compare")
	}
	t.Logf("%d steps compared", len(stock))
}

// TestCompareFindsDifferences holds the comparison itself to what it is for.
func TestCompareFindsDifferences(t *testing.T) {
	known := difference{step: "s: $ x", stock: `0 a`, ours: `0 b`, why: "a test"}
	was, is := record{"s: $ x", "a", 0}, record{"s: $ x", "b", 0}
	if !known.matches(was, is) {
		t.Error("a listed difference is not found")
	}
	for _, other := range []record{{"s: $ x", "c", 0}, {"s: $ x", "b", 1}, {"s: $ x", "bb", 0}} {
		if known.matches(was, other) {
			t.Errorf("%+v is taken for a listed difference", other)
		}
	}
	id := strings.Repeat("0123456789abcdef", 4)
	if got := normal("time=\"2026-01-02T03:04:05Z\" level=error msg=\"Can't add file x to tar: closed pipe\"\nError"); got != "Error" {
		t.Errorf("normalised to %q", got)
	}
	if got := normal(id + " sha256:" + id + " 0123456789ab 3 seconds ago  2026-01-02T03:04:05.6Z x"); got != "ID sha256:ID ID AGO TIME x" {
		t.Errorf("normalised to %q", got)
	}
}
