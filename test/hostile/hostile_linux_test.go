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

	"github.com/dovetailhq/plugin/test/hostile/corpus"
)

var all = flag.Bool("all", false, "call all verbs with each case, and not one of them")

const (
	// mostMemoryBytes is the 64 MiB that a pull takes above an idle manager, and
	// as much again for the collector of garbage, which runs when memory doubled,
	// and the registry in the same process.
	mostMemoryBytes = 128 << 20
	// mostSeconds of processor time are some hundred microseconds for each entry
	// of the largest archives.
	mostSeconds = 20
	// killSeconds is when the kernel ends a driver that gets nowhere.
	killSeconds = 120
	// mostErrorBytes of text are shown to a user, or written to a log.
	mostErrorBytes = 16 << 10
)

// result is what the driver prints.
type result struct {
	Error                    string
	ErrorBytes               int
	MemoryBytes              int64
	CPUSeconds, SweepSeconds float64
}

// TestCorpusStaysWithinBounds calls the verbs with each case.
func TestCorpusStaysWithinBounds(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("archives with devices and owners need root")
	}
	binary := filepath.Join(t.TempDir(), "driver")
	// Without the race detector, which takes memory of its own.
	output, err := exec.Command("go", "build", "-o", binary, "./driver").CombinedOutput()
	assert.NilError(t, err, "%s", output)
	for i, c := range corpus.Cases {
		verbs := verbsOf(c)
		if !*all {
			verbs = verbs[i%len(verbs):][:1]
		}
		for _, verb := range verbs {
			t.Run(c.Name+"/"+verb, func(t *testing.T) {
				t.Parallel()
				got := drive(t, binary, c.Name, verb)
				t.Logf("%d MiB, %.1f s, %.1f s to remove it; %s", got.MemoryBytes>>20, got.CPUSeconds, got.SweepSeconds, got.Error)
				assert.Check(t, got.MemoryBytes <= mostMemoryBytes+c.Window, "it took %d MiB of memory", got.MemoryBytes>>20)
				assert.Check(t, got.CPUSeconds <= mostSeconds, "it took %.1f s of processor time", got.CPUSeconds)
				assert.Check(t, got.SweepSeconds <= mostSeconds, "removing it took %.1f s of processor time", got.SweepSeconds)
				assert.Check(t, got.ErrorBytes <= mostErrorBytes, "its error has %d bytes: %s", got.ErrorBytes, got.Error)
			})
		}
	}
}

// verbsOf are those that a case has something for.
func verbsOf(c corpus.Case) []string {
	switch {
	case c.Args != nil:
		return []string{"set", "create"}
	case c.Repeat > 0:
		return []string{"privileges", "pull", "upgrade"}
	}
	return []string{"create", "pull", "upgrade"}
}

func drive(t *testing.T, binary, name, verb string) (got result) {
	t.Helper()
	dir, err := os.MkdirTemp("", "dt") // a socket path must be short
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
