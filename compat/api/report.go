// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"strings"
)

// Kind is the kind of a [Finding].
type Kind string

// The kinds of findings. Equal identifiers are not reported.
const (
	// Missing is in the old family only: programs that use it don't build.
	Missing Kind = "missing"
	// Different is in both families, and programs can notice the change.
	Different Kind = "different"
	// Added is in the new family only.
	Added Kind = "added"
)

// Finding is a difference between the families.
type Finding struct {
	Kind Kind
	// Name is the package's name within the family, then the identifier, for
	// example "plugin/v2.Plugin.Rootfs".
	Name string
	// Old and New describe it in each family. Empty means that the family lacks
	// it.
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

// Report has all findings, ordered by name.
type Report struct {
	Findings []Finding
	// Same is the number of identifiers, fields and methods that are equal in
	// both families.
	Same int
}

// Breaks returns the findings that programs can notice.
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
