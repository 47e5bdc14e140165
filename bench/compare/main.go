// SPDX-License-Identifier: Apache-2.0

// Command compare measures our manager at another commit and in the work tree,
// in turns, and compares the results by benchstat. It uses the benchmarks of
// the work tree, so the other commit must have the API that they use. Run it in
// the directory of its module.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/dovetailhq/plugin/bench/internal/runs"
)

// settings has the values of the flags.
type settings struct {
	module string // the directory of the benchmarks
	ref    string // the other commit
	rounds int
	groups []runs.Group
	flags  []string // of the benchmarks
}

func main() {
	s := settings{groups: runs.Groups}
	flag.StringVar(&s.module, "module", ".", "`directory` of the benchmarks")
	flag.IntVar(&s.rounds, "rounds", 10, "how often to measure")
	flag.Parse()
	s.ref = flag.Arg(0)
	if s.ref == "" {
		fmt.Fprintln(os.Stderr, "compare: name a commit: compare REF")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings, out io.Writer) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := buildBoth(ctx, s, dir); err != nil {
		return err
	}
	if err := measureBoth(ctx, s, dir); err != nil {
		return err
	}
	stat := exec.CommandContext(ctx, "go", "tool", "benchstat", s.ref+"="+filepath.Join(dir, "other.txt"), "here="+filepath.Join(dir, "here.txt"))
	stat.Dir, stat.Stdout, stat.Stderr = s.module, out, os.Stderr
	return stat.Run()
}

// buildBoth builds the benchmarks with the library of the other commit and with
// that of the work tree.
func buildBoth(ctx context.Context, s settings, dir string) error {
	if err := runs.Build(ctx, s.module, filepath.Join(dir, "here.test")); err != nil {
		return err
	}
	return runs.BuildAt(ctx, s.module, s.ref, filepath.Join(dir, "other.test"))
}

func measureBoth(ctx context.Context, s settings, dir string) error {
	var programs []runs.Program
	for _, name := range []string{"other", "here"} {
		output, err := os.Create(filepath.Join(dir, name+".txt"))
		if err != nil {
			return err
		}
		defer output.Close()
		programs = append(programs, runs.Program{
			Path:   filepath.Join(dir, name+".test"),
			Output: output,
			Flags:  append([]string{"-only=dovetail"}, s.flags...),
		})
	}
	for _, group := range s.groups {
		if err := runs.Alternate(ctx, group, s.rounds, programs...); err != nil {
			return err
		}
	}
	return nil
}
