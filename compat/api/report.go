package api

import (
	"fmt"
	"strings"
)

// Kind is how something of the new family relates to the old one.
type Kind string

// The kinds of findings. Nothing is said of what is the same.
const (
	// Missing is in the old family only: programs that use it don't build.
	Missing Kind = "missing"
	// Different is in both, and programs may notice.
	Different Kind = "different"
	// Added is in the new family only.
	Added Kind = "added"
)

// Finding is one thing that the families don't have in common.
type Finding struct {
	Kind Kind
	// Name is the package's name within the family and the identifier, for
	// example "plugin/v2.Plugin.Rootfs".
	Name string
	// Old and New describe it, as far as each family has it.
	Old, New string
}

func (f Finding) String() string {
	switch f.Kind {
	case Missing:
		return fmt.Sprintf("%-10s %s: %s", f.Kind, f.Name, f.Old)
	case Added:
		return fmt.Sprintf("%-10s %s: %s", f.Kind, f.Name, f.New)
	default:
		return fmt.Sprintf("%-10s %s: %s became %s", f.Kind, f.Name, f.Old, f.New)
	}
}

// Report is all findings, in the order of their names.
type Report struct {
	Findings []Finding
	// Same is how many identifiers, fields and methods of the old family the
	// new one has alike.
	Same int
}

// Breaks returns the findings that programs may notice.
func (r Report) Breaks() []Finding {
	var breaks []Finding
	for _, finding := range r.Findings {
		if finding.Kind != Added {
			breaks = append(breaks, finding)
		}
	}
	return breaks
}

func (r Report) String() string {
	var text strings.Builder
	for _, finding := range r.Findings {
		fmt.Fprintln(&text, finding)
	}
	fmt.Fprintf(&text, "%-10s %d\n", "same", r.Same)
	return text.String()
}
