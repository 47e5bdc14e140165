package main

import (
	"fmt"
	"strings"
)

// noisy is the spread above which a figure says little.
const noisy = 0.3

// document writes the page.
func document(f figures, circumstances []string) string {
	var d strings.Builder
	d.WriteString("# Performance\n\n")
	d.WriteString("Docker's package `github.com/docker/docker/plugin` and ours, measured by `make bench`: the same inputs, in turns. Figures are\n")
	d.WriteString("medians; the ratio is docker's by ours, more is better for ours. The limit is what the machine can do without a manager:\n")
	d.WriteString("`curl | gzip -dc | tar x` of the same layers, a sequential write of the same bytes with fsync, or the bare runtime. A `~` marks\n")
	fmt.Fprintf(&d, "figures whose least and greatest are more than %.0f %% of the median apart.\n\n", 100*noisy)
	for _, c := range circumstances {
		d.WriteString("- " + c + "\n")
	}
	for _, s := range sections {
		fmt.Fprintf(&d, "\n## %s\n\n![How many times as much docker's package takes](performance-%s.svg)\n\n", s.title, s.name)
		d.WriteString("| what | docker | ours | ratio | limit | target | met |\n|---|---:|---:|---:|---:|---|---|\n")
		for _, r := range s.rows {
			d.WriteString(tableLine(f.line(r)))
		}
	}
	d.WriteString("\nThe raw output is in [performance.txt](performance.txt), for `benchstat -col /of`.\n")
	return d.String()
}

func tableLine(l line) string {
	ratio := ""
	if r, ok := l.ratio(); ok {
		ratio = digits(r)
	}
	var targets []string
	for _, p := range l.parts() {
		targets = append(targets, p.text)
	}
	cells := []string{
		l.what,
		marked(quantity(l.docker, l.unit), l.dockerSpread),
		marked(quantity(l.ours, l.unit), l.oursSpread),
		ratio,
		quantity(l.limit, l.unit),
		strings.Join(targets, ", "),
		l.verdict(),
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

func marked(text string, spread float64) string {
	if spread > noisy {
		return "~ " + text
	}
	return text
}
