// SPDX-License-Identifier: Apache-2.0

// Command guard compares the speed of the work tree with that of another commit:
// quick benchmarks of both, compared with docker's package in the same run, so that
// neither the machine nor its load counts. It prints docker's time divided by ours,
// and fails if that ratio has halved. Without another commit, or with one that lacks
// the API of the benchmarks, it only prints. Run it in the directory of its module.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/dovetailhq/plugin/bench/internal/figures"
	"github.com/dovetailhq/plugin/bench/internal/runs"
)

// groups are benchmarks with small inputs.
var groups = []runs.Group{
	{Benchmarks: "^Benchmark(Pull|PullPresent|Create|GC|Boot)$", Time: "3x"},
	{Benchmarks: "^BenchmarkPush$", Time: "1x"}, // the inputs of several pushes are alike
	{Benchmarks: "^Benchmark(EnableDisable|Lookup|List|Events)$", Time: "20ms"},
}

// settings has the values of the flags.
type settings struct {
	module string // the directory of the benchmarks
	ref    string // the other commit; empty for none
	rounds int
}

func main() {
	var s settings
	flag.StringVar(&s.module, "module", ".", "`directory` of the benchmarks")
	flag.IntVar(&s.rounds, "rounds", 5, "how often to measure")
	flag.Parse()
	s.ref = flag.Arg(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "guard:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings, out io.Writer) error {
	base, here, err := measure(ctx, s, out)
	if err != nil {
		return err
	}
	return judge(out, s.ref, base, here)
}

// measure returns the figures of the other commit, if it can be measured, and of the
// work tree.
func measure(ctx context.Context, s settings, out io.Writer) (base, here figures.Figures, err error) {
	dir, err := os.MkdirTemp("", "guard")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	var outputs [2]bytes.Buffer
	program := func(i int, name string) runs.Program {
		return runs.Program{Path: filepath.Join(dir, name), Output: &outputs[i], Flags: []string{"-small"}}
	}
	programs := []runs.Program{program(0, "here.test")}
	if err := runs.Build(ctx, s.module, programs[0].Path); err != nil {
		return nil, nil, err
	}
	if s.ref != "" {
		other := program(1, "other.test")
		if err := runs.BuildAt(ctx, s.module, s.ref, other.Path); err != nil {
			fmt.Fprintf(out, "not compared with %s: %v\n", s.ref, err)
		} else {
			programs = append(programs, other)
		}
	}
	for _, group := range groups {
		if err := runs.Alternate(ctx, group, s.rounds, programs...); err != nil {
			return nil, nil, fmt.Errorf("%w\n%s%s", err, &outputs[0], &outputs[1])
		}
	}
	if here, _, err = figures.Read(&outputs[0]); err != nil {
		return nil, nil, err
	}
	base, _, err = figures.Read(&outputs[1])
	return base, here, err
}
