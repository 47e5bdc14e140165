// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	registryservice "github.com/docker/docker/registry"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/bench/internal/subject"
	"github.com/dovetailhq/plugin/bench/internal/workload"
	"github.com/dovetailhq/plugin/plugintest"
)

// childJob is the environment variable that makes this program do one job and
// print the maximal growth of its memory.
const childJob = "DOVETAIL_BENCH_JOB"

// job is a verb for a separate process.
type job struct {
	Subject   string
	Directory string
	Pull      string // the reference to pull; else Create is created
	Create    workload.Tree
}

// BenchmarkPeakMemory measures the growth of resident memory above that of an
// idle manager.
func BenchmarkPeakMemory(b *testing.B) {
	tree := workload.Tree{Files: or(64, 2), FileBytes: or[int64](16<<20, 1<<20)}
	for _, count := range []int{1, 8} {
		b.Run("verb=pull/"+name("layers", count), func(b *testing.B) {
			layer := tree
			layer.Files = max(tree.Files/count, 1)
			from := ship(b, trees(count, layer)...)
			benchmarkJob(b, job{Pull: from.reference.String()})
		})
	}
	b.Run("verb=create", func(b *testing.B) { benchmarkJob(b, job{Create: tree}) })
}

func benchmarkJob(b *testing.B, j job) {
	for _, s := range subject.All() {
		j.Subject = s.Name
		runFor(b, s.Name, func(b *testing.B) {
			var peak int64
			for b.Loop() {
				peak = max(peak, j.run(b))
			}
			b.ReportMetric(float64(peak), "peak-B")
		})
	}
}

// run does the job in a separate process.
func (j job) run(b *testing.B) (grown int64) {
	b.Helper()
	j.Directory = newDirectory(b)
	encoded, err := json.Marshal(j)
	assert.NilError(b, err)
	command := exec.Command("/proc/self/exe")
	command.Env = append(os.Environ(), childJob+"="+string(encoded))
	command.Stderr = os.Stderr
	out, err := command.Output()
	assert.NilError(b, err)
	grown, err = strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	assert.NilError(b, err)
	return grown
}

// child does a job and returns the exit code.
func child(encoded string) int {
	grown, err := doJob(encoded)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(grown)
	return 0
}

func doJob(encoded string) (grown int64, err error) {
	var j job
	if err := json.Unmarshal([]byte(encoded), &j); err != nil {
		return 0, err
	}
	if j.Pull == "" {
		workload.Prepare()
	}
	s, err := j.start()
	if err != nil {
		return 0, err
	}
	defer s.Shutdown()
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // resets VmHWM
		return 0, err
	}
	idle, err := memory("VmRSS")
	if err != nil {
		return 0, err
	}
	if err := j.do(s); err != nil {
		return 0, err
	}
	peak, err := memory("VmHWM")
	return peak - idle, err
}

func (j job) start() (subject.Subject, error) {
	registry, err := registryservice.NewService(registryservice.ServiceOptions{})
	if err != nil {
		return nil, err
	}
	executor := &plugintest.Executor{}
	config := subject.Config{
		Root:     filepath.Join(j.Directory, "root"),
		ExecRoot: filepath.Join(j.Directory, "x"),
		Registry: registry,
		Executor: func(subject.ExitHandler) (subject.Executor, error) { return executor, nil },
	}
	for _, s := range subject.All() {
		if s.Name == j.Subject {
			return s.Start(config)
		}
	}
	return nil, errors.New("no such subject: " + j.Subject)
}

func (j job) do(s subject.Subject) error {
	ctx := context.Background()
	if j.Pull == "" {
		return s.CreateFromContext(ctx, j.Create.Context(plugintest.Config(volume)), &types.PluginCreateOptions{RepoName: "bench/created"})
	}
	ref, err := reference.ParseNormalizedNamed(j.Pull)
	if err != nil {
		return err
	}
	return s.Pull(ctx, ref, "bench/installed")
}

// memory reads a field of /proc/self/status in kilobytes.
func memory(field string) (bytes int64, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(status), field+":")
	if !found {
		return 0, errors.New("the kernel does not report " + field)
	}
	kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	return kilobytes << 10, err
}
