// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/test/crash/drive"
	"github.com/dovetailhq/plugin/test/crash/harness"
	"github.com/dovetailhq/plugin/test/crash/history"
)

var (
	kills   = flag.Int("kills", 200, "how many drivers are killed")
	publish = flag.String("publish", "", "directory of durability.json and durability.md to put the figures into")
	seeds   = flag.Uint64("seed", rand.Uint64(), "seed of random choices; the instants of kills vary")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if code, ok := harness.Isolate(); ok {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// newDriver returns a driver with new directories.
func newDriver(t *testing.T) harness.Driver {
	t.Helper()
	binary, err := harness.Build(t.TempDir(), harness.Dovetail)
	assert.NilError(t, err)
	execRoot, err := os.MkdirTemp("", "dt") // a socket's path must be short
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, os.RemoveAll(execRoot)) })
	return harness.Driver{
		Binary: binary,
		Paths:  drive.Paths{Root: filepath.Join(t.TempDir(), "root"), ExecRoot: execRoot},
	}
}

// TestKills kills one driver after the other. Each continues with the
// directories of the one before.
func TestKills(t *testing.T) {
	const enough = 100 // each verb is called
	t.Logf("seed %d", *seeds)
	random := rand.New(rand.NewPCG(*seeds, 0))
	driver := newDriver(t)
	figures := harness.Figures{Harness: harness.Killed, Subject: harness.Dovetails, FileSystem: "any"}
	found := map[string]history.State{}
	successes := map[string]int{}
	for round := range *kills {
		crash, err := driver.Crash(*seeds+uint64(round), random, found)
		assert.NilError(t, err, "kill %d", round)
		for _, problem := range append(crash.Lost(), crash.Violations()...) {
			t.Errorf("kill %d: %s", round, problem)
		}
		figures.Add(crash)
		for verb, count := range crash.Ledger.Successes {
			successes[verb] += count
		}
		found = crash.Observed.Plugins
	}
	t.Log(figures)
	t.Log(successes)
	assert.Check(t, figures.Operations > figures.Crashes, "the drivers did next to nothing")
	if *kills >= enough {
		verbs := []string{"collect", "create", "disable", "enable", "import", "pull", "reclaim", "remove", "set", "upgrade"}
		assert.DeepEqual(t, slices.Sorted(maps.Keys(successes)), verbs)
	}
	assert.NilError(t, harness.Publish(*publish, figures))
}
