package behaviour

import (
	"fmt"
	"slices"
	"strings"
)

// Document writes the differences for people.
func Document(groups []Group) string {
	var text strings.Builder
	text.WriteString(`# Where Dovetail differs from docker's plugin package

<!-- Written by "go test ./behaviour -update" in compat/. Do not edit. -->

` + "`compat/behaviour`" + ` plays the same scenarios with docker's manager (28.3.0 and 28.5.2) and with ours and compares
what can be seen from outside: results, classes and texts of errors, events, what the daemon's log is told, OCI specs,
directories, and what a registry is asked for. What is not listed here is the same, or the test fails; what is listed and
not seen any more fails it, too. The last column names the scenarios.
`)
	for _, group := range groups {
		fmt.Fprintf(&text, "\n## %s\n\n| docker | Dovetail | why | seen in |\n|---|---|---|---|\n", group.Kind)
		for _, d := range group.Differences {
			fmt.Fprintf(&text, "| %s | %s | %s | %s |\n", d.Docker, d.Ours, d.Why, strings.Join(scenariosOf(d), ", "))
		}
	}
	return text.String()
}

// scenariosOf names the scenarios of a difference, each once.
func scenariosOf(d Difference) []string {
	var names []string
	for _, seen := range d.Seen {
		for steps := range strings.SplitSeq(seen.Steps, "|") {
			name, _, _ := strings.Cut(steps, "/")
			if name == "*" {
				return []string{"many"}
			}
			names = append(names, strings.TrimSuffix(name, "*"))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
