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
func buildBoth(ctx context.Context, s settings, dir string) (err error) {
	if err := runs.Build(ctx, s.module, filepath.Join(dir, "here.test")); err != nil {
		return err
	}
	tree := filepath.Join(dir, "tree")
	if err := do(ctx, s.module, "git", "worktree", "add", "--quiet", "--detach", tree, s.ref); err != nil {
		return err
	}
	defer func() {
		// Also if ctx has ended: git would keep the work tree in its list.
		removed := do(context.WithoutCancel(ctx), s.module, "git", "worktree", "remove", "--force", tree)
		if err == nil {
			err = removed
		}
	}()
	modfile := filepath.Join(dir, "other.mod")
	for from, to := range map[string]string{"go.mod": modfile, "go.sum": filepath.Join(dir, "other.sum")} {
		if err := copyFile(filepath.Join(s.module, from), to); err != nil {
			return err
		}
	}
	if err := do(ctx, dir, "go", "mod", "edit", "-replace=github.com/dovetailhq/plugin="+tree, modfile); err != nil {
		return err
	}
	return runs.Build(ctx, s.module, filepath.Join(dir, "other.test"), "-modfile="+modfile, "-mod=mod")
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

func do(ctx context.Context, dir, name string, arguments ...string) error {
	command := exec.CommandContext(ctx, name, arguments...)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, arguments[0], err, out)
	}
	return nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}
