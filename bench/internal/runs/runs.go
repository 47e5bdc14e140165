// Package runs builds the benchmarks of this module and runs them in rounds, so
// that what is compared is measured at nearly the same time.
package runs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Group is benchmarks that are run in the same way.
type Group struct {
	// Benchmarks is a regular expression of names.
	Benchmarks string
	// Time is what go test takes as -benchtime.
	Time string
	// Rounds is how often each is measured at most; 0 means as often as the
	// caller says.
	Rounds int
}

// Groups is all benchmarks there are.
var Groups = []Group{
	{Benchmarks: "^Benchmark(Pull|PullPresent|Create|Push)$", Time: "1x"},
	{Benchmarks: "^Benchmark(Start|Boot|GC)$", Time: "3x"},
	{Benchmarks: "^Benchmark(EnableDisable|Lookup|List|Events)$", Time: "200ms"},
	{Benchmarks: "^BenchmarkPeakMemory$", Time: "1x", Rounds: 3},
	{Benchmarks: "^BenchmarkShutdown$", Time: "1x", Rounds: 2},
}

// Program is the built benchmarks, and where their output goes.
type Program struct {
	Path   string
	Output io.Writer
	// Flags are those of the benchmarks themselves.
	Flags []string
}

// Build builds the benchmarks into path. The flags are those of go build.
func Build(ctx context.Context, module, path string, flags ...string) error {
	build := exec.CommandContext(ctx, "go", append(append([]string{"test", "-c", "-o", path}, flags...), ".")...)
	build.Dir = module
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build benchmarks: %w\n%s", err, out)
	}
	return nil
}

// Alternate runs a group for some rounds, one program after the other in each;
// in every second round what usually goes first goes last.
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
