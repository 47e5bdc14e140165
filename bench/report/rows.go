// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"github.com/dovetailhq/plugin/bench/internal/figures"
)

// row is a line of the table.
type row struct {
	what      string
	benchmark string
	unit      string
	target    target
}

// target is a promised figure. The zero value promises nothing; all set fields
// must hold.
type target struct {
	timesDocker float64 // docker's figure is at least this many times ours
	timesLimit  float64 // ours is at most this many times the limit
	max         float64 // ours is at most this
	none        bool    // ours is zero
}

// section is a table and a chart.
type section struct {
	name  string // also of the chart's file
	title string
	rows  []row
}

const (
	seconds    = figures.Seconds
	layerBytes = "layer-B"
	peakBytes  = "peak-B"
	requests   = "layer-requests"
	mebibyte   = 1 << 20
)

// within5Percent is the least ratio of docker's size to ours.
const within5Percent = 1 / 1.05

// sections has the promised figures.
var sections = []section{
	{"install", "Installing", []row{
		{"pull, 1 layer of 200 MiB", "Pull/layers=1x200MiB", seconds, target{timesDocker: 1.4, timesLimit: 1}},
		{"pull, 8 layers of 25 MiB", "Pull/layers=8x25MiB", seconds, target{timesDocker: 2}},
		{"pull, 20,000 files of 4 KiB", "Pull/layers=20000x4KiB", seconds, target{timesDocker: 5, timesLimit: 1.2}},
		{"pull of stored content", "PullPresent", seconds, target{}},
		{"pull of stored content, layers requested", "PullPresent", requests, target{none: true}},
		{"create, 100 MiB", "Create/files=100x1MiB", seconds, target{timesDocker: 4}},
		{"create, 100 MiB, size of the layer", "Create/files=100x1MiB", layerBytes, target{timesDocker: within5Percent}},
		{"create, 20,000 files of 4 KiB", "Create/files=20000x4KiB", seconds, target{timesDocker: 5}},
		{"create, 20,000 files, size of the layer", "Create/files=20000x4KiB", layerBytes, target{timesDocker: within5Percent}},
		{"push, 1 layer of 100 MiB", "Push", seconds, target{}},
		{"GC of 10,000 blobs", "GC", seconds, target{}},
		{"memory above idle, pull of 1 GiB in one layer", "PeakMemory/verb=pull/layers=1", peakBytes, target{max: 64 * mebibyte}},
		{"memory above idle, pull of 1 GiB in 8 layers", "PeakMemory/verb=pull/layers=8", peakBytes, target{max: 64 * mebibyte}},
		{"memory above idle, create of 1 GiB", "PeakMemory/verb=create", peakBytes, target{max: 64 * mebibyte}},
	}},
	{"run", "Running", []row{
		{"enable and disable, executor ready at once", "EnableDisable", seconds, target{max: (5 * time.Millisecond).Seconds()}},
		{"enable with runc", "Start", seconds, target{timesLimit: 1.5}},
		{"boot with 1 plugin", "Boot/plugins=1", seconds, target{}},
		{"boot with 50 plugins", "Boot/plugins=50", seconds, target{}},
		{"boot with 200 plugins", "Boot/plugins=200", seconds, target{max: (150 * time.Millisecond).Seconds()}},
		{"shutdown of 20 plugins that ignore SIGTERM (10 s each)", "Shutdown", seconds, target{max: (11 * time.Second).Seconds()}},
		{"create and notify 1 subscriber", "Events/subscribers=1", seconds, target{}},
		{"create and notify 100 subscribers", "Events/subscribers=100", seconds, target{}},
	}},
	{"find", "Finding", []row{
		{"by name among 10", "Lookup/by=name/plugins=10", seconds, target{}},
		{"by name among 1,000", "Lookup/by=name/plugins=1000", seconds, target{}},
		{"by name among 10,000", "Lookup/by=name/plugins=10000", seconds, target{max: (5 * time.Microsecond).Seconds()}},
		{"by prefix of the ID among 10", "Lookup/by=prefix/plugins=10", seconds, target{}},
		{"by prefix of the ID among 1,000", "Lookup/by=prefix/plugins=1000", seconds, target{}},
		{"by prefix of the ID among 10,000", "Lookup/by=prefix/plugins=10000", seconds, target{max: (5 * time.Microsecond).Seconds()}},
		{"by name and capability among 10", "Lookup/by=capability/plugins=10", seconds, target{}},
		{"by name and capability among 1,000", "Lookup/by=capability/plugins=1000", seconds, target{}},
		{"by name and capability among 10,000", "Lookup/by=capability/plugins=10000", seconds, target{}},
		{"capability of none of 10", "Lookup/by=missing-capability/plugins=10", seconds, target{}},
		{"capability of none of 1,000", "Lookup/by=missing-capability/plugins=1000", seconds, target{}},
		{"capability of none of 10,000", "Lookup/by=missing-capability/plugins=10000", seconds, target{max: time.Microsecond.Seconds()}},
		{"list 10", "List/plugins=10", seconds, target{}},
		{"list 1,000", "List/plugins=1000", seconds, target{}},
		{"list 10,000", "List/plugins=10000", seconds, target{}},
	}},
}
