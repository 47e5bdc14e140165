// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/test/crash/drive"
	"github.com/dovetailhq/plugin/test/crash/harness"
	"github.com/dovetailhq/plugin/test/crash/history"
)

var (
	kills   = flag.Int("kills", 10, "how many drivers are killed, and how many are ended in order")
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

// machine has the directories in which drivers of docker's manager work.
type machine struct {
	t       *testing.T
	driver  harness.Driver
	found   map[string]history.State
	wrong   sightings
	figures harness.Figures
}

func newMachine(t *testing.T, end string) *machine {
	t.Helper()
	binary, err := harness.Build(t.TempDir(), "github.com/dovetailhq/plugin/bench/crash/driver")
	assert.NilError(t, err)
	version, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/docker/docker").Output()
	assert.NilError(t, err)
	m := &machine{
		t:      t,
		driver: harness.Driver{Binary: binary, Dir: t.TempDir()},
		figures: harness.Figures{
			Harness: end, Subject: "docker's package " + strings.TrimSuffix(strings.TrimSpace(string(version)), "+incompatible"),
			FileSystem: "any", Kinds: map[string]int{},
		},
	}
	m.reset()
	return m
}

// reset empties the directories.
func (m *machine) reset() {
	m.t.Helper()
	execRoot, err := os.MkdirTemp("", "dt") // a socket's path must be short
	assert.NilError(m.t, err)
	m.t.Cleanup(func() { assert.Check(m.t, os.RemoveAll(execRoot)) })
	m.driver.Paths = drive.Paths{Root: filepath.Join(m.t.TempDir(), "root"), ExecRoot: execRoot}
	m.found, m.wrong = nil, nil
}

// count adds the end of a driver to the figures.
func (m *machine) count(crash harness.Crash, err error) {
	m.t.Helper()
	var unopened *harness.OpenError
	if !errors.As(err, &unopened) {
		assert.NilError(m.t, err)
	}
	m.figures.Crashes++
	m.figures.Operations += crash.Ledger.Acknowledged(crash.From)
	if unopened != nil {
		m.t.Log(unopened)
		m.figures.Unopened++
		m.reset()
		return
	}
	for _, lost := range crash.Lost() {
		m.t.Log("lost: ", lost)
	}
	counted, wrong := m.wrong.next(crash.Observed.Problems)
	for _, v := range counted {
		m.figures.Kinds[v.kind]++
	}
	m.figures.Lost += len(crash.Lost())
	m.figures.Violations += len(counted)
	m.found, m.wrong = crash.Observed.Plugins, wrong
}

func (m *machine) publish() {
	m.t.Helper()
	m.t.Log(m.figures)
	m.t.Log(m.figures.Kinds)
	assert.Check(m.t, m.figures.Operations > m.figures.Crashes, "the drivers did next to nothing")
	assert.NilError(m.t, harness.Publish(*publish, m.figures))
}

// TestKills counts what docker's manager loses, and does not fail for it.
func TestKills(t *testing.T) {
	t.Logf("seed %d", *seeds)
	random := rand.New(rand.NewPCG(*seeds, 0))
	m := newMachine(t, harness.Killed)
	for round := range *kills {
		m.count(m.driver.Crash(*seeds+uint64(round), random, m.found))
	}
	m.publish()
}

// TestOrderlyEnds counts violations without any crash.
func TestOrderlyEnds(t *testing.T) {
	random := rand.New(rand.NewPCG(*seeds, 0))
	m := newMachine(t, harness.Orderly)
	const verbs = 24 // about as many as a killed driver calls
	for round := range *kills {
		m.count(m.driver.Finish(*seeds+uint64(round), 1+random.IntN(verbs), m.found))
	}
	m.publish()
}
