// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/dovetailhq/plugin/bench/internal/figures"
)

func TestGuardFailsOnlyIfARatioHalves(t *testing.T) {
	of := func(docker, ours []float64) figures.Figures {
		return figures.Figures{
			{Benchmark: "List", Of: "docker", Unit: figures.Seconds}:   docker,
			{Benchmark: "List", Of: "dovetail", Unit: figures.Seconds}: ours,
		}
	}
	base := of([]float64{2, 2, 2}, []float64{1, 1, 1})
	for _, c := range []struct {
		name         string
		docker, ours []float64
		fails        bool
	}{
		{"as fast", []float64{2, 2, 2}, []float64{1, 1, 1}, false},
		{"slower by less than half", []float64{2, 2, 2}, []float64{1.9, 1.9, 1.9}, false},
		{"slower by more than half", []float64{2, 2, 2}, []float64{2.1, 2.2, 2.3}, true},
		{"a noisy round", []float64{2, 2, 2}, []float64{1, 9, 9}, false},
		{"a slower machine", []float64{20, 20, 20}, []float64{10, 10, 10}, false},
		{"not measured", nil, nil, false},
	} {
		var out strings.Builder
		err := judge(&out, "main", base, of(c.docker, c.ours))
		if (err != nil) != c.fails {
			t.Errorf("%s: %v\n%s", c.name, err, out.String())
		}
		if c.fails && !strings.Contains(err.Error(), "List") {
			t.Errorf("%s: the error names no benchmark: %v", c.name, err)
		}
	}
}
