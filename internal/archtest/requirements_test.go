// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// raise is a requirement that is higher than in the docker release whose types
// this module uses.
type raise struct {
	from, to string
	why      string
}

// raises lists all raises. Users of docker's packages also get these versions, so
// each raise has a reason: a fixed vulnerability, or a module that requires it.
var raises = map[string]raise{
	"github.com/containerd/containerd/v2":   {"v2.1.4", "v2.1.5", "CVE-2024-25621 and CVE-2025-64329, in containerd itself; scanners read the version alone"},
	"github.com/opencontainers/selinux":     {"v1.12.0", "v1.13.0", "CVE-2025-52881, labels written to a file of the attacker's choice"},
	"github.com/cyphar/filepath-securejoin": {"v0.4.1", "v0.6.0", "what opencontainers/selinux v1.13.0 needs"},
}

// go.mod requires the versions that docker itself is built with, so that a daemon
// can use this module next to docker's packages without other changes.
func TestRequirementsAreDockers(t *testing.T) {
	docker := output(t, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/docker/docker")
	theirs := requirements(t, filepath.Join(docker, "vendor.mod"))
	ours := requirements(t, filepath.Join("..", "..", "go.mod"))
	assert.Assert(t, len(theirs) > 100 && len(ours) > 30, "%d and %d requirements were read", len(theirs), len(ours))
	problems := unexplained(ours, theirs, raises)
	assert.Equal(t, len(problems), 0, "%s", strings.Join(problems, "\n"))
}

// unexplained lists requirements that differ from docker's and have no raise, and
// raises that are wrong or unused.
func unexplained(ours, theirs map[string]string, raises map[string]raise) (problems []string) {
	for _, module := range slices.Sorted(maps.Keys(ours)) {
		r, raised := raises[module]
		switch pinned, shared := theirs[module]; {
		case raised && (r.from != pinned || r.to != ours[module]):
			problems = append(problems, fmt.Sprintf("%s: raised from %s to %s, and not from %s to %s", module, pinned, ours[module], r.from, r.to))
		case raised && r.why == "":
			problems = append(problems, module+": the raise has no reason")
		case !raised && shared && pinned != ours[module]:
			problems = append(problems, fmt.Sprintf("%s: docker has %s, and this module %s: take docker's, or give a reason", module, pinned, ours[module]))
		}
	}
	for _, module := range slices.Sorted(maps.Keys(raises)) {
		if _, required := ours[module]; !required {
			problems = append(problems, module+": it is raised, but not required")
		}
	}
	return problems
}

func TestUnexplainedFinds(t *testing.T) {
	theirs := map[string]string{"same": "v1", "raised": "v1", "lower": "v2", "moved": "v1", "mute": "v1"}
	ours := map[string]string{"same": "v1", "own": "v1", "raised": "v2", "lower": "v1", "moved": "v3", "mute": "v2"}
	found := unexplained(ours, theirs, map[string]raise{
		"raised": {"v1", "v2", "a bug"},
		"moved":  {"v1", "v2", "a bug"},
		"mute":   {"v1", "v2", ""},
		"gone":   {"v1", "v2", "a bug"},
	})
	assert.DeepEqual(t, found, []string{
		"lower: docker has v2, and this module v1: take docker's, or give a reason",
		"moved: raised from v1 to v3, and not from v1 to v2",
		"mute: the raise has no reason",
		"gone: it is raised, but not required",
	})
}

// requirements reads a file in the format of go.mod.
func requirements(t *testing.T, file string) map[string]string {
	t.Helper()
	var parsed struct {
		Require []struct{ Path, Version string }
	}
	assert.NilError(t, json.Unmarshal([]byte(output(t, "go", "mod", "edit", "-json", file)), &parsed))
	found := make(map[string]string)
	for _, requirement := range parsed.Require {
		found[requirement.Path] = requirement.Version
	}
	return found
}

func output(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	said, err := exec.Command(name, arguments...).Output()
	assert.NilError(t, err, "%s %q", name, arguments)
	return strings.TrimSpace(string(said))
}
