// SPDX-License-Identifier: Apache-2.0

// Package figures reads the output of benchmarks.
package figures

import (
	"io"
	"regexp"
	"slices"

	"golang.org/x/perf/benchfmt"
)

// Key identifies a measurement.
type Key struct {
	Benchmark string // without the prefix Benchmark and the subject
	Of        string // docker, dovetail or limit
	Unit      string // as benchstat normalizes it: sec/op, B/s
}

// Seconds is the unit of the time of an operation.
const Seconds = "sec/op"

// Figures has all values of each measurement, in the order of the output.
type Figures map[Key][]float64

var benchmarkName = regexp.MustCompile(`^(.*)/of=([a-z]+)(-[0-9]+)?$`)

// Read parses the output of benchmarks. settings are the properties of the
// machine in it.
func Read(output io.Reader) (all Figures, settings map[string]string, err error) {
	all, settings = Figures{}, map[string]string{}
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
			k := Key{parts[1], parts[2], value.Unit}
			all[k] = append(all[k], value.Value)
		}
	}
	return all, settings, reader.Err()
}

// Median returns the median of a measurement; ok is false without values.
func (f Figures) Median(k Key) (median float64, ok bool) {
	if len(f[k]) == 0 {
		return 0, false
	}
	return Median(f[k]), true
}

// Median returns the median of values, of which there must be one.
func Median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// Spread returns the difference between the greatest and the least value,
// divided by the median.
func (f Figures) Spread(k Key) float64 {
	median, ok := f.Median(k)
	if !ok || median == 0 {
		return 0
	}
	return (slices.Max(f[k]) - slices.Min(f[k])) / median
}
