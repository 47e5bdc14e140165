// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/dovetailhq/plugin/bench/internal/figures"
)

// line is a row with its figures. A figure that was not measured is negative.
type line struct {
	row
	docker, ours, limit      float64
	dockerSpread, oursSpread float64
}

const unknown = -1

func lineOf(f figures.Figures, r row) line {
	l := line{row: r}
	of := func(whose string) (median, spread float64) {
		k := figures.Key{Benchmark: r.benchmark, Of: whose, Unit: r.unit}
		median, ok := f.Median(k)
		if !ok {
			return unknown, 0
		}
		return median, f.Spread(k)
	}
	l.docker, l.dockerSpread = of("docker")
	l.ours, l.oursSpread = of("dovetail")
	l.limit, _ = of("limit")
	return l
}

// ratio returns docker's figure divided by ours; ok is false without both.
func (l line) ratio() (ratio float64, ok bool) {
	if l.docker < 0 || l.ours <= 0 {
		return 0, false
	}
	return l.docker / l.ours, true
}

// part is a part of a target. excess is 1 if it is just met, and 1.2 if the
// figure is 20 % too high.
type part struct {
	text   string
	excess float64
}

func (l line) parts() []part {
	var parts []part
	if want := l.target.timesDocker; want > 0 {
		ratio, _ := l.ratio()
		parts = append(parts, part{fmt.Sprintf("docker ≥ %.3g × ours", want), want / ratio})
	}
	if want := l.target.timesLimit; want > 0 {
		parts = append(parts, part{fmt.Sprintf("≤ %.3g × limit", want), l.ours / (want * l.limit)})
	}
	if want := l.target.max; want > 0 {
		parts = append(parts, part{"≤ " + quantity(want, l.unit), l.ours / want})
	}
	if l.target.none {
		parts = append(parts, part{"none", 1 + l.ours})
	}
	return parts
}

// verdict reports whether the target is met, and if not, by how much it is
// missed.
func (l line) verdict() string {
	if l.ours < 0 {
		return "not measured"
	}
	var missed []string
	for _, p := range l.parts() {
		if !(p.excess <= 1) { // also for NaN
			missed = append(missed, fmt.Sprintf("**missed** by %.0f %%: %s", 100*(p.excess-1), p.text))
		}
	}
	switch {
	case len(missed) > 0:
		return strings.Join(missed, "; ")
	case len(l.parts()) > 0:
		return "met"
	}
	return ""
}

// quantity formats a figure with three digits and a unit.
func quantity(value float64, unit string) string {
	if value < 0 {
		return ""
	}
	switch unit {
	case seconds:
		return scaled(value, []scale{{1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}, {1e-9, "ns"}})
	case layerBytes, peakBytes:
		return scaled(value, []scale{{mebibyte, "MiB"}, {1 << 10, "KiB"}, {1, "B"}})
	}
	return fmt.Sprintf("%.3g", value)
}

type scale struct {
	size float64
	name string
}

func scaled(value float64, scales []scale) string {
	for _, s := range scales {
		if value >= s.size {
			return fmt.Sprintf("%s %s", digits(value/s.size), s.name)
		}
	}
	last := scales[len(scales)-1]
	return fmt.Sprintf("%s %s", digits(value/last.size), last.name)
}

func digits(value float64) string {
	switch {
	case value >= 100:
		return fmt.Sprintf("%.0f", value)
	case value >= 10:
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.2f", value)
}
