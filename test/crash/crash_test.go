package crash

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/test/crash/drive"
	"github.com/dovetailhq/plugin/test/crash/harness"
	"github.com/dovetailhq/plugin/test/crash/history"
)

var (
	kills   = flag.Int("kills", 200, "how many drivers are killed")
	publish = flag.String("publish", "", "directory of durability.json and durability.md to put the figures into")
	seeds   = flag.Uint64("seed", rand.Uint64(), "what chance depends on, but for the instants")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if code, ok := harness.Isolate(); ok {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// newDriver returns a driver on directories of its own.
func newDriver(t *testing.T) harness.Driver {
	t.Helper()
	binary, err := harness.Build(t.TempDir(), harness.Dovetail)
	assert.NilError(t, err)
	execRoot, err := os.MkdirTemp("", "dt") // a socket path must be short
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, os.RemoveAll(execRoot)) })
	return harness.Driver{
		Binary: binary,
		Paths:  drive.Paths{Root: filepath.Join(t.TempDir(), "root"), ExecRoot: execRoot},
	}
}

// TestKills kills one driver after the other, each of which goes on with what
// the one before left.
func TestKills(t *testing.T) {
	t.Logf("seed %d", *seeds)
	random := rand.New(rand.NewPCG(*seeds, 0))
	driver := newDriver(t)
	figures := harness.Figures{Harness: "SIGKILL", Subject: "Dovetail", FileSystem: "any"}
	found := map[string]history.State{}
	for round := range *kills {
		process, err := driver.Start(*seeds+uint64(round), found)
		assert.NilError(t, err)
		awaitInstant(random, process)
		ledger, err := process.Kill()
		assert.NilError(t, err)
		observed, err := driver.Observe()
		assert.NilError(t, err, "after kill %d", round)
		lost := ledger.Compare(observed.Plugins, history.Always, history.Always)
		for _, problem := range append(append(ledger.Problems, lost...), observed.Problems...) {
			t.Errorf("kill %d: %s", round, problem)
		}
		figures.Crashes++
		figures.Operations += ledger.Acknowledged(history.Always)
		figures.Lost += len(lost)
		figures.Violations += len(observed.Problems) + len(ledger.Problems)
		found = observed.Plugins
	}
	t.Logf("%d kills, %d operations acknowledged, %d lost, %d violations", figures.Crashes, figures.Operations, figures.Lost, figures.Violations)
	assert.Check(t, figures.Operations > figures.Crashes, "the drivers did next to nothing")
	assert.NilError(t, harness.Publish(*publish, figures))
}

// awaitInstant waits for a random instant of a driver's life. Every fifth is
// early, when its manager starts.
func awaitInstant(random *rand.Rand, process *harness.Process) {
	const early, late = 30 * time.Millisecond, 5 * time.Millisecond
	within := early
	if random.IntN(5) > 0 {
		process.Await(random.IntN(60))
		within = late
	}
	instant := time.NewTimer(time.Duration(random.Int64N(int64(within))))
	defer instant.Stop()
	select {
	case <-instant.C:
	case <-process.Ended():
	}
}
