// SPDX-License-Identifier: Apache-2.0

package powercut

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/test/crash/drive"
	"github.com/dovetailhq/plugin/test/crash/harness"
	"github.com/dovetailhq/plugin/test/crash/history"
)

var (
	cuts    = flag.Int("cuts", 30, "how many power cuts each file system goes through")
	publish = flag.String("publish", "", "directory of durability.json and durability.md to put the figures into")
	seeds   = flag.Uint64("seed", rand.Uint64(), "seed of random choices; the instants of cuts vary")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if code, ok := harness.Isolate(); ok {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func needRoot(t *testing.T) {
	t.Helper()
	testenv.NeedsRoot(t, "making and mounting file systems")
}

// machine is a computer with one disk, on which a driver works.
type machine struct {
	t      *testing.T
	disk   *disk
	driver harness.Driver
	found  map[string]history.State
}

func newMachine(t *testing.T, s *shelf, kind fileSystem, binary string) *machine {
	t.Helper()
	execRoot, err := os.MkdirTemp("", "dt") // a socket's path must be short
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, os.RemoveAll(execRoot)) })
	d := s.disk(kind)
	return &machine{t: t, disk: d, driver: harness.Driver{
		Binary: binary,
		Paths:  drive.Paths{Root: filepath.Join(d.dir, "root"), ExecRoot: execRoot},
	}}
}

// run starts a driver, cuts the power at the instant of await, and restarts the
// machine.
func (m *machine) run(seed uint64, await func(*harness.Process)) harness.Crash {
	m.t.Helper()
	process, err := m.driver.Start(seed, m.found)
	assert.NilError(m.t, err)
	await(process)
	c := harness.Crash{From: history.Now()}
	copied := m.disk.cut()
	c.To = history.Now()
	c.Ledger, err = process.Kill()
	assert.NilError(m.t, err)

	m.disk.restart(copied)
	m.emptyExecRoot()
	c.Observed, err = m.driver.Observe()
	assert.NilError(m.t, err)
	m.found = c.Observed.Plugins
	return c
}

// emptyExecRoot empties the directory, as a restart does to a directory in
// memory.
func (m *machine) emptyExecRoot() {
	m.t.Helper()
	left, err := filepath.Glob(filepath.Join(m.driver.Paths.ExecRoot, "*"))
	assert.NilError(m.t, err)
	for _, path := range left {
		assert.NilError(m.t, os.RemoveAll(path))
	}
}

func TestPowerCuts(t *testing.T) {
	needRoot(t)
	binary, err := harness.Build(t.TempDir(), harness.Dovetail)
	assert.NilError(t, err)
	t.Logf("seed %d", *seeds)
	for _, kind := range fileSystems {
		t.Run(kind.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(*seeds, 0))
			m := newMachine(t, newShelf(t), kind, binary)
			figures := harness.Figures{Harness: harness.PowerCut, Subject: harness.Dovetails, FileSystem: kind.name}
			for round := range *cuts {
				c := m.run(*seeds+uint64(round), func(p *harness.Process) { p.AwaitInstant(random) })
				for _, problem := range append(c.Lost(), c.Violations()...) {
					t.Errorf("cut %d: %s", round, problem)
				}
				figures.Add(c)
			}
			t.Log(figures)
			assert.Check(t, figures.Operations > figures.Crashes, "the drivers did next to nothing")
			assert.NilError(t, harness.Publish(*publish, figures))
		})
	}
}

// sabotages are the kinds of syncs to leave out.
var sabotages = []struct{ name, skip string }{
	{"the content of a new record", `^[0-9a-f]{64}/config\.json\.tmp$`},
	{"the name of a new record", `^[0-9a-f]{64}$`},
	{"the rootfs of an install", `^tmp/[0-9a-f]{64}$`},
	{"the names of installs and removals", `^(\.|tmp)$`},
}

// TestSabotageIsNoticed leaves one sync out and cuts the power as soon as a
// verb is acknowledged, until the harness notices.
func TestSabotageIsNoticed(t *testing.T) {
	needRoot(t)
	binary, err := harness.Build(t.TempDir(), harness.Dovetail)
	assert.NilError(t, err)
	const enough = 100
	for _, kind := range fileSystems {
		for _, sabotage := range sabotages {
			t.Run(kind.name+"/"+sabotage.name, func(t *testing.T) {
				m := newMachine(t, newShelf(t), kind, binary)
				m.driver.Env = []string{"DRIVER_SKIP_SYNC=" + sabotage.skip}
				m.driver.Step, m.driver.Workers = true, 1
				figures := harness.Figures{Harness: harness.PowerCut, Subject: harness.Dovetails, FileSystem: kind.name, Sabotage: sabotage.name}
				for figures.Lost+figures.Violations == 0 {
					assert.Assert(t, figures.Crashes < enough, "the harness notices nothing")
					c := m.run(uint64(figures.Crashes), func(p *harness.Process) {
						for verb := range 3 {
							assert.NilError(t, p.Turn())
							p.Await(2 * (verb + 1))
						}
					})
					figures.Add(c)
				}
				t.Log("noticed: ", figures)
				assert.NilError(t, harness.Publish(*publish, figures))
			})
		}
	}
}
