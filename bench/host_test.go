// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	registryservice "github.com/docker/docker/registry"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/bench/internal/subject"
	"github.com/dovetailhq/plugin/bench/internal/workload"
	"github.com/dovetailhq/plugin/plugintest"
)

const volume = "docker.volumedriver/1.0"

// forEach runs a benchmark for each subject of the flags, in their order.
func forEach(b *testing.B, run func(b *testing.B, start subject.Start)) {
	subjects := subject.All()
	if *oursFirst {
		slices.Reverse(subjects)
	}
	for _, s := range subjects {
		runFor(b, s.Name, func(b *testing.B) { run(b, s.Start) })
	}
}

// limit runs an operation without a manager, which is the lower bound for both.
func limit(b *testing.B, run func(b *testing.B)) { runFor(b, "limit", run) }

func runFor(b *testing.B, whose string, run func(b *testing.B)) {
	if *only == "" || *only == whose {
		b.Run(name("of", whose), run)
	}
}

// host has the directories and the executor, which outlive a manager.
type host struct {
	b        *testing.B
	config   subject.Config
	executor *plugintest.Executor
}

var hosts atomic.Int64

// newHost makes directories while the disk is idle. They are removed only after
// all benchmarks: ext4 makes files slowly for some seconds after a large
// removal, which would be charged to the next benchmark.
func newHost(b *testing.B) *host {
	b.Helper()
	dir := newDirectory(b)
	h := &host{b: b, executor: &plugintest.Executor{}}
	registry, err := registryservice.NewService(registryservice.ServiceOptions{})
	assert.NilError(b, err)
	h.config = subject.Config{
		Root:     filepath.Join(dir, "root"),
		ExecRoot: filepath.Join(dir, "x"),
		Registry: registry,
		Executor: func(exits subject.ExitHandler) (subject.Executor, error) {
			h.executor.HandleExits(func(id string) { _ = exits.HandleExitEvent(id) })
			return h.executor, nil
		},
	}
	b.Cleanup(h.executor.KillAll)
	return h
}

func newDirectory(b *testing.B) string {
	b.Helper()
	dir := filepath.Join(scratch, strconv.FormatInt(hosts.Add(1), 36)) // a socket's path must be short
	assert.NilError(b, os.Mkdir(dir, 0o700))
	assert.NilError(b, exec.Command("sync", "-f", dir).Run())
	return dir
}

// manager is a running subject on a host.
type manager struct {
	subject.Subject
	*host
}

// start starts a subject. It ends before the benchmark's next step, or with the
// benchmark.
func (h *host) start(start subject.Start) *manager {
	h.b.Helper()
	s, err := start(h.config)
	assert.NilError(h.b, err)
	return &manager{s, h}
}

func newManager(b *testing.B, start subject.Start) *manager {
	b.Helper()
	return newHost(b).start(start)
}

// create installs a plugin with its name as content.
func (m *manager) create(name string) {
	m.b.Helper()
	config := plugintest.Config(volume)
	config.Description = name
	buildContext := plugintest.BuildContext(config, map[string]string{"plugin": name})
	assert.NilError(m.b, m.CreateFromContext(context.Background(), buildContext, &types.PluginCreateOptions{RepoName: name}))
}

func (m *manager) createTree(tree workload.Tree, name string) error {
	return m.CreateFromContext(m.b.Context(), tree.Context(plugintest.Config(volume)), &types.PluginCreateOptions{RepoName: name})
}

func (m *manager) enable(name string) {
	m.b.Helper()
	assert.NilError(m.b, m.Enable(name, &backend.PluginEnableConfig{Timeout: 30}))
}

func (m *manager) disable(name string) {
	m.b.Helper()
	assert.NilError(m.b, m.Disable(name, &backend.PluginDisableConfig{}))
}

// measure runs an operation once for each iteration. prepare and the returned
// cleanup are not measured.
func measure(b *testing.B, prepare func() (operation func() error, after func())) {
	processor := processorTime{b: b}
	for b.Loop() {
		b.StopTimer()
		operation, after := prepare()
		processor.start()
		b.StartTimer()
		err := operation()
		b.StopTimer()
		processor.stop()
		if err != nil {
			b.Fatal(err)
		}
		after()
		b.StartTimer()
	}
	processor.report()
}

// processorTime measures the processor time of an operation, in this process
// and its children. On a busy machine it is more accurate than the clock.
type processorTime struct {
	b     *testing.B
	spent time.Duration
	began time.Duration
}

func (p *processorTime) start() { p.began = usedByNow(p.b) }

func (p *processorTime) stop() { p.spent += usedByNow(p.b) - p.began }

func (p *processorTime) report() {
	p.b.ReportMetric(float64(p.spent.Nanoseconds())/float64(p.b.N), "cpu-ns/op")
}

func usedByNow(b *testing.B) time.Duration {
	b.Helper()
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		assert.NilError(b, syscall.Getrusage(who, &usage))
		sum += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return sum
}
