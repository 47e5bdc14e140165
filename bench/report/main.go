// SPDX-License-Identifier: Apache-2.0

// Command report runs the benchmarks, docker's package and ours in turns. It
// writes docs/performance.md, and next to it the charts and the raw output. Run
// it in the directory of its module.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dovetailhq/plugin/bench/internal/figures"
	"github.com/dovetailhq/plugin/bench/internal/runs"
)

// settings has the values of the flags.
type settings struct {
	module string // the directory of the benchmarks
	docs   string // the directory of the page
	rounds int
	small  bool
}

func main() {
	var s settings
	flag.StringVar(&s.module, "module", ".", "`directory` of the benchmarks")
	flag.StringVar(&s.docs, "docs", "../docs", "`directory` to write to")
	flag.IntVar(&s.rounds, "rounds", 6, "how often to measure")
	flag.BoolVar(&s.small, "small", false, "use small inputs, to see whether it works")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings, progress io.Writer) error {
	raw, load, err := measure(ctx, s, progress)
	if err != nil {
		return err
	}
	all, machine, err := figures.Read(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return write(s.docs, raw, all, circumstances(ctx, machine, s.rounds, load))
}

// measure returns the output of the benchmarks and the machine's load before
// each group.
func measure(ctx context.Context, s settings, progress io.Writer) (raw []byte, load []string, err error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "bench.test")
	if err := runs.Build(ctx, s.module, program); err != nil {
		return nil, nil, err
	}
	var output bytes.Buffer
	p := runs.Program{Path: program, Output: io.MultiWriter(&output, progress)}
	if s.small {
		p.Flags = []string{"-small"}
	}
	for _, group := range runs.Groups {
		if s.small {
			group.Time = "1x"
		}
		load = append(load, loadAverage())
		if err := runs.Alternate(ctx, group, s.rounds, p); err != nil {
			return nil, nil, err
		}
	}
	return output.Bytes(), load, nil
}

func write(docs string, raw []byte, all figures.Figures, circumstances []string) error {
	for _, s := range sections {
		if err := chart(all, s, filepath.Join(docs, "performance-"+s.name+".svg")); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(docs, "performance.txt"), append([]byte("# "+generated+"\n"), raw...), 0o644); err != nil {
		return err
	}
	page := filepath.Join(docs, "performance.md")
	was, err := os.ReadFile(page)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(page, []byte(document(all, circumstances)+daemons(string(was))), 0o644)
}

// daemons returns the section of a page that "make bench-dockerd" writes, which
// is the last one.
func daemons(page string) string {
	const heading = "\n## A whole daemon\n"
	_, section, found := strings.Cut(page, heading)
	if !found {
		return ""
	}
	return heading + section
}
