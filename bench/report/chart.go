// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"image/color"
	"os"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/dovetailhq/plugin/bench/internal/figures"
)

var (
	barColor  = color.RGBA{R: 0x2a, G: 0x6f, B: 0x97, A: 0xff}
	evenColor = color.RGBA{R: 0xbb, G: 0x3e, B: 0x03, A: 0xff}
)

const barWidth = 14

// chart draws the ratios of a section as bars, with a line where both are
// equal. The first row is on top.
func chart(f figures.Figures, s section, path string) error {
	var ratios plotter.Values
	var names []string
	for _, r := range s.rows {
		if ratio, ok := lineOf(f, r).ratio(); ok {
			ratios = append(ratios, ratio)
			names = append(names, fmt.Sprintf("%s: %s ×", r.what, digits(ratio)))
		}
	}
	if len(ratios) == 0 {
		return fmt.Errorf("draw %s: nothing was measured", s.name)
	}
	slices.Reverse(ratios)
	slices.Reverse(names)
	p := plot.New()
	p.Title.Text = s.title + ": docker's figure divided by ours"
	p.X.Label.Text = "times"
	p.X.Min = 0
	bars, err := plotter.NewBarChart(ratios, vg.Points(barWidth))
	if err != nil {
		return fmt.Errorf("draw %s: %w", s.name, err)
	}
	bars.Horizontal, bars.Color, bars.LineStyle.Width = true, barColor, 0
	even, err := plotter.NewLine(plotter.XYs{{X: 1, Y: -0.5}, {X: 1, Y: float64(len(ratios)) - 0.5}})
	if err != nil {
		return fmt.Errorf("draw %s: %w", s.name, err)
	}
	even.Color = evenColor
	p.Add(bars, even)
	p.NominalY(names...)
	height := vg.Points(float64(len(ratios))*1.6*barWidth + 80)
	if err := save(p, height, path); err != nil {
		return fmt.Errorf("draw %s: %w", s.name, err)
	}
	return nil
}

// save writes the chart, with a comment that marks it as generated after the
// XML declaration.
func save(p *plot.Plot, height vg.Length, path string) error {
	var image bytes.Buffer
	drawing, err := p.WriterTo(vg.Points(720), height, "svg")
	if err != nil {
		return err
	}
	if _, err := drawing.WriteTo(&image); err != nil {
		return err
	}
	marked := bytes.Replace(image.Bytes(), []byte("?>\n"), []byte("?>\n<!-- "+generated+" -->\n"), 1)
	return os.WriteFile(path, marked, 0o644)
}
