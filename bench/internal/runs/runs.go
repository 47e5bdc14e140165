// SPDX-License-Identifier: Apache-2.0

// Package runs builds the benchmarks of this module and runs them in rounds, so
// that figures to compare are measured at nearly the same time.
package runs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Group is benchmarks that run with the same settings.
type Group struct {
	// Benchmarks is a regular expression of benchmark names.
	Benchmarks string
	// Time is the value of -benchtime.
	Time string
	// Rounds bounds the rounds of the group. Zero means the caller's number.
	Rounds int
}

// Groups is all benchmarks.
var Groups = []Group{
	{Benchmarks: "^Benchmark(Pull|PullPresent|Create|Push)$", Time: "1x"},
	{Benchmarks: "^Benchmark(Start|Boot|GC)$", Time: "3x"},
	{Benchmarks: "^Benchmark(EnableDisable|Lookup|List|Events)$", Time: "200ms"},
	{Benchmarks: "^BenchmarkPeakMemory$", Time: "1x", Rounds: 3},
	{Benchmarks: "^BenchmarkShutdown$", Time: "1x", Rounds: 2},
}

// Program is a build of the benchmarks and the destination of its output.
type Program struct {
	Path   string
	Output io.Writer
	// Flags are flags of the benchmarks.
	Flags []string
}

// Build builds the benchmarks into path. flags are flags of go build.
func Build(ctx context.Context, module, path string, flags ...string) error {
	build := exec.CommandContext(ctx, "go", append(append([]string{"test", "-c", "-o", path}, flags...), ".")...)
	build.Dir = module
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build benchmarks: %w\n%s", err, out)
	}
	return nil
}

// Alternate runs a group for some rounds, one program after the other. Every
// second round reverses the order.
func Alternate(ctx context.Context, group Group, rounds int, programs ...Program) error {
	if group.Rounds > 0 {
		rounds = min(rounds, group.Rounds)
	}
	for round := range rounds {
		for i := range programs {
			if round%2 == 1 {
				i = len(programs) - 1 - i
			}
			if err := programs[i].run(ctx, group, round%2 == 1); err != nil {
				return fmt.Errorf("run %s: %w", group.Benchmarks, err)
			}
		}
	}
	return nil
}

func (p Program) run(ctx context.Context, group Group, oursFirst bool) error {
	arguments := []string{"-test.run=^$", "-test.bench=" + group.Benchmarks, "-test.benchtime=" + group.Time, "-test.timeout=2h"}
	if oursFirst {
		arguments = append(arguments, "-ours-first")
	}
	command := exec.CommandContext(ctx, p.Path, append(arguments, p.Flags...)...)
	command.Stdout, command.Stderr = p.Output, os.Stderr
	err := command.Run()
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return err
}
