// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/test/hostile/corpus"
)

var all = flag.Bool("all", false, "call all verbs with each case, and not one of them")

const (
	// maxMemoryBytes is the 64 MiB that a pull takes above an idle manager,
	// and as much again for the garbage collector, which runs when memory has
	// doubled, and for the registry in the same process.
	maxMemoryBytes = 128 << 20
	// maxSteps of the driver's yardstick allow a few for each entry of the
	// largest archives.
	maxSteps = 2_000_000
	// killSeconds is the processor time after which the kernel ends a driver.
	killSeconds = 300
	// maxErrorBytes bounds the text that is shown to a user or logged.
	maxErrorBytes = 16 << 10
)

// result is what the driver prints.
type result struct {
	Error                      string
	ErrorBytes                 int
	MemoryBytes                int64
	Seconds, Steps, SweepSteps float64
}

// TestCorpusStaysWithinBounds calls the verbs with each case.
func TestCorpusStaysWithinBounds(t *testing.T) {
	testenv.NeedsRoot(t, "unpacking devices and owners")
	binary := buildDriver(t)
	for i, c := range corpus.Cases {
		verbs := verbsOf(c)
		if !*all {
			verbs = verbs[i%len(verbs):][:1]
		}
		for _, verb := range verbs {
			t.Run(c.Name+"/"+verb, func(t *testing.T) {
				t.Parallel()
				got := drive(t, binary, c.Name, verb)
				t.Logf("%d MiB, %.1f s or %.0f steps, %.0f to remove it; %s", got.MemoryBytes>>20, got.Seconds, got.Steps, got.SweepSteps, got.Error)
				assert.Check(t, got.MemoryBytes <= maxMemoryBytes+c.Window, "it took %d MiB of memory", got.MemoryBytes>>20)
				assert.Check(t, got.Steps <= maxSteps, "it took %.0f steps", got.Steps)
				assert.Check(t, got.SweepSteps <= maxSteps, "removing it took %.0f steps", got.SweepSteps)
				assert.Check(t, got.ErrorBytes <= maxErrorBytes, "its error has %d bytes: %s", got.ErrorBytes, got.Error)
			})
		}
	}
}

// TestMemoryOfCreates builds as many plugins at a time as a manager does by default.
// Their clients send large files, and break off.
func TestMemoryOfCreates(t *testing.T) {
	testenv.NeedsRoot(t, "unpacking owners")
	got := drive(t, buildDriver(t), corpus.Cases[0].Name, "creates")
	t.Logf("%d MiB, %.1f s", got.MemoryBytes>>20, got.Seconds)
	assert.Check(t, got.MemoryBytes <= maxMemoryBytes, "the creates took %d MiB of memory", got.MemoryBytes>>20)
	assert.Equal(t, got.Error, "")
}

// buildDriver builds without the race detector, which needs memory itself.
func buildDriver(t *testing.T) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "driver")
	output, err := exec.Command("go", "build", "-o", binary, "./driver").CombinedOutput()
	assert.NilError(t, err, "%s", output)
	return binary
}

// verbsOf returns the verbs that the case applies to.
func verbsOf(c corpus.Case) []string {
	switch {
	case c.Args != nil:
		return []string{"set", "create"}
	case c.Raw != nil:
		return []string{"create", "privileges", "pull", "upgrade"}
	case c.Repeat > 0:
		return []string{"privileges", "pull", "upgrade"}
	}
	return []string{"create", "pull", "upgrade"}
}

func drive(t *testing.T, binary, name, verb string) (got result) {
	t.Helper()
	dir, err := os.MkdirTemp("", "dt") // a socket's path must be short
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, os.RemoveAll(dir)) })
	command := exec.Command(binary, "-case", name, "-verb", verb, "-dir", dir)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	assert.NilError(t, command.Start())
	limit := unix.Rlimit{Cur: killSeconds, Max: killSeconds}
	assert.NilError(t, unix.Prlimit(command.Process.Pid, unix.RLIMIT_CPU, &limit, nil))
	if err := command.Wait(); err != nil {
		t.Fatalf("%v: %.2000s", err, stderr.String())
	}
	assert.NilError(t, json.Unmarshal(stdout.Bytes(), &got))
	return got
}
