// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"regexp"
	"slices"

	"golang.org/x/perf/benchfmt"
)

// key identifies a measurement.
type key struct {
	benchmark string // without the prefix Benchmark and the subject
	of        string // docker, dovetail or limit
	unit      string // as benchstat normalizes it: sec/op, B/s
}

// figures has all values of each measurement.
type figures map[key][]float64

var benchmarkName = regexp.MustCompile(`^(.*)/of=([a-z]+)(-[0-9]+)?$`)

// read parses the output of benchmarks. settings are the properties of the
// machine in it.
func read(output io.Reader) (all figures, settings map[string]string, err error) {
	all, settings = figures{}, map[string]string{}
	reader := benchfmt.NewReader(output, "benchmarks")
	for reader.Scan() {
		result, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			continue // PASS, and other lines without a result
		}
		for _, setting := range result.Config {
			settings[setting.Key] = string(setting.Value)
		}
		parts := benchmarkName.FindStringSubmatch(string(result.Name))
		if parts == nil {
			continue
		}
		for _, value := range result.Values {
			k := key{parts[1], parts[2], value.Unit}
			all[k] = append(all[k], value.Value)
		}
	}
	return all, settings, reader.Err()
}

// median returns the median; ok is false without values.
func (f figures) median(k key) (median float64, ok bool) {
	values := slices.Sorted(slices.Values(f[k]))
	n := len(values)
	if n == 0 {
		return 0, false
	}
	return (values[(n-1)/2] + values[n/2]) / 2, true
}

// spread returns the difference between the greatest and the least value,
// divided by the median.
func (f figures) spread(k key) float64 {
	median, ok := f.median(k)
	if !ok || median == 0 {
		return 0
	}
	return (slices.Max(f[k]) - slices.Min(f[k])) / median
}
