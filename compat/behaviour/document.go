package behaviour

import (
	"fmt"
	"slices"
	"strings"
)

// Document writes the differences for people, with the scenarios that they are
// seen in.
func Document(groups []Group, scenarios []Scenario) string {
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
			fmt.Fprintf(&text, "| %s | %s | %s | %s |\n", d.Docker, d.Ours, d.Why, strings.Join(scenariosOf(d, scenarios), ", "))
		}
	}
	return text.String()
}

// most is how many scenarios a reader wants to have named.
const most = 5

// scenariosOf names the scenarios of a difference.
func scenariosOf(d Difference, scenarios []Scenario) []string {
	var names []string
	for _, scenario := range scenarios {
		inIt := func(s Seen) bool {
			return slices.ContainsFunc(strings.Split(s.Steps, "|"), func(steps string) bool {
				name, _, _ := strings.Cut(steps, "/")
				return match(name, scenario.Name)
			})
		}
		if slices.ContainsFunc(d.Seen, inIt) {
			names = append(names, scenario.Name)
		}
	}
	if len(names) > most {
		return []string{"many"}
	}
	return names
}
