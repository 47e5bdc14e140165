// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/containerd/log"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/bench/internal/workload"
)

var (
	small     = flag.Bool("small", false, "use inputs that show that the benchmarks work")
	oursFirst = flag.Bool("ours-first", false, "let our manager go before docker's")
	only      = flag.String("only", "", "measure docker, dovetail or the limit alone")
)

// scratch is the directory for all files of the benchmarks. The process runs in
// it, because docker's manager moves things into the current directory.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	log.L.Logger.SetOutput(io.Discard) // the managers log nowhere else
	if job := os.Getenv(childJob); job != "" {
		os.Exit(child(job))
	}
	os.Exit(inScratch(m.Run))
}

// TestBenchmarksWork runs every benchmark of our manager once, with small inputs.
// Docker's manager has data races, which the race detector would report.
func TestBenchmarksWork(t *testing.T) {
	program, err := os.Executable()
	assert.NilError(t, err)
	command := exec.Command(program, "-test.run=^$", "-test.bench=.", "-test.benchtime=1x", "-small", "-only=dovetail")
	command.Dir = source
	output, err := command.CombinedOutput()
	assert.NilError(t, err, "%s", output)
}

func inScratch(run func() int) int {
	var err error
	if scratch, err = os.MkdirTemp("", "b"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(scratch)
	work := scratch + "/work"
	if err := os.Mkdir(work, 0o700); err != nil {
		panic(err)
	}
	home, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	source = home
	if err := os.Chdir(work); err != nil {
		panic(err)
	}
	workload.Prepare()
	return run()
}

// source is the directory of this module.
var source string

// or returns the real size or the small one, by the flag.
func or[T any](real, tiny T) T {
	if *small {
		return tiny
	}
	return real
}

func name(key string, value any) string { return fmt.Sprintf("%s=%v", key, value) }
