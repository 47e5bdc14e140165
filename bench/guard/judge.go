// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/dovetailhq/plugin/bench/internal/figures"
)

// leastChange is the ratio of two ratios below which the guard fails.
const leastChange = 0.5

// judge prints the ratios of all benchmarks, and returns an error that names those
// that are less than half as good as before in every round.
func judge(out io.Writer, ref string, base, here figures.Figures) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "docker's time divided by ours\there\tcompared with "+ref)
	var worse []string
	for _, benchmark := range benchmarks(here) {
		before, now := ratios(base, benchmark), ratios(here, benchmark)
		if len(now) == 0 {
			continue
		}
		fmt.Fprintf(table, "%s\t%.2f\t", benchmark, figures.Median(now))
		if len(before) > 0 {
			fmt.Fprintf(table, "%.2f\t", figures.Median(now)/figures.Median(before))
		}
		if len(before) > 0 && slices.Max(now) < leastChange*slices.Min(before) {
			fmt.Fprint(table, "halved")
			worse = append(worse, benchmark)
		}
		fmt.Fprintln(table)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(worse) > 0 {
		return fmt.Errorf("slower than half of %s, compared with docker's package: %s", ref, strings.Join(worse, ", "))
	}
	return nil
}

// benchmarks returns the names of the benchmarks, in order.
func benchmarks(f figures.Figures) (names []string) {
	for k := range f {
		names = append(names, k.Benchmark)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ratios returns docker's time divided by ours, for each round in which both were
// measured.
func ratios(f figures.Figures, benchmark string) (ratios []float64) {
	docker := f[figures.Key{Benchmark: benchmark, Of: "docker", Unit: figures.Seconds}]
	ours := f[figures.Key{Benchmark: benchmark, Of: "dovetail", Unit: figures.Seconds}]
	for i := range min(len(docker), len(ours)) {
		ratios = append(ratios, docker[i]/ours[i])
	}
	return ratios
}
