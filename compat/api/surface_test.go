// SPDX-License-Identifier: Apache-2.0

package api

import (
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/compat/internal/modfile"

	// These imports make this module require the compared packages.
	_ "github.com/docker/docker/plugin"
	_ "github.com/docker/docker/plugin/executor/containerd"
	_ "github.com/dovetailhq/plugin"
	_ "github.com/dovetailhq/plugin/executor/containerd"
)

const (
	dockers = "github.com/docker/docker/plugin"
	ours    = "github.com/dovetailhq/plugin"
)

// TestSurface proves that, for the compiler, changing the import path is the
// whole migration.
func TestSurface(t *testing.T) {
	modfiles, err := modfile.All("..")
	assert.NilError(t, err)
	for _, m := range modfiles {
		for _, goos := range []string{"linux", "windows"} {
			t.Run(m.Docker+" "+goos, func(t *testing.T) {
				loader := Loader{Dir: "..", Modfile: m.Name, GOOS: goos}
				old, err := loader.Load(dockers)
				assert.NilError(t, err)
				replacement, err := loader.Replacement(old, ours)
				assert.NilError(t, err)

				report := Compare(old, replacement)
				if testing.Verbose() {
					t.Logf("docker %s on %s:\n%s", m.Docker, goos, report)
				}
				assert.Check(t, report.Same > 0)
				for _, finding := range report.Breaks() {
					t.Error(finding)
				}
			})
		}
	}
}
