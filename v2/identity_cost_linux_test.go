// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// TestTableEqualsList compares the answers of the table with those that a search
// through the whole list gives, for random mounts.
func TestTableEqualsList(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	place := func() string {
		names := make([]string, random.IntN(4))
		for i := range names {
			names[i] = []string{"a", "a-b", "b"}[random.IntN(3)]
		}
		return "/" + strings.Join(names, "/")
	}
	for range 300 {
		var table mountTable
		for id := range 1 + random.IntN(12) {
			table.mounts = append(table.mounts, &mountinfo.Info{ID: id + 1, Parent: random.IntN(id + 1), Minor: id, Root: "/", Mountpoint: place()})
		}
		for range 20 {
			place := place()
			assert.Check(t, table.at(place) == listedAt(table.mounts, place), "%s on %v", place, table.mounts)
			var got, want []string
			for _, found := range table.below(place) {
				got = append(got, found.name)
			}
			for _, info := range table.mounts {
				if _, ok := below(info.Mountpoint, place); ok && info.Mountpoint != place {
					want = append(want, info.Mountpoint)
				}
			}
			slices.Sort(want)
			assert.Check(t, is.DeepEqual(got, want), place)
		}
	}
}

// listedAt goes down from the root, by a search of the whole list at each step.
func listedAt(mounts []*mountinfo.Info, place string) (reached *mountinfo.Info) {
	isTop := func(info *mountinfo.Info) bool {
		return !slices.ContainsFunc(mounts, func(other *mountinfo.Info) bool { return other.ID == info.Parent })
	}
	for {
		var next *mountinfo.Info
		for _, info := range mounts {
			_, onWay := below(place, info.Mountpoint)
			isNext := reached == nil && isTop(info) || reached != nil && info.Parent == reached.ID
			if onWay && isNext && (next == nil || len(info.Mountpoint) < len(next.Mountpoint)) {
				next = info
			}
		}
		if next == nil {
			return reached
		}
		reached = next
	}
}

// nested returns a guard on a host with mounts below each other, and their names.
func nested(depth int) (g *guard, names []string) {
	table := &mountTable{mounts: []*mountinfo.Info{{ID: 1, Root: "/", Mountpoint: "/"}}}
	name := "/p"
	for i := range depth {
		name += "/d"
		names = append(names, name)
		table.mounts = append(table.mounts, &mountinfo.Info{ID: i + 2, Parent: i + 1, Minor: i + 1, Root: "/", Mountpoint: name})
	}
	return &guard{look: hostLook{table: table}}, names
}

// TestDirectoriesAreListedOnce lists all mounts of a plugin, each of which is also
// below the others.
func TestDirectoriesAreListedOnce(t *testing.T) {
	g, names := nested(500)
	var listed []string
	for _, directory := range g.directories(append([]string{"/p-q"}, names...)) {
		listed = append(listed, directory.name)
	}
	assert.Check(t, is.DeepEqual(listed, append([]string{"/p-q"}, names...)))
	g, names = nested(3)
	names = append(names, "/p/d/d/../../e")
	assert.Check(t, is.Len(g.directories(names), 4))
}

// BenchmarkMountsOfAnotherPlugin lists the mounts of a plugin for the start of
// another one. The time for each mount must not grow with their number.
func BenchmarkMountsOfAnotherPlugin(b *testing.B) {
	for _, count := range []int{1000, 10000, 40000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			mounts := []*mountinfo.Info{{ID: 1, Root: "/", Mountpoint: "/"}}
			for i := range count {
				mounts = append(mounts, &mountinfo.Info{ID: i + 2, Parent: 1, Minor: i + 1, Root: "/", Mountpoint: fmt.Sprint("/p/", i)})
			}
			for b.Loop() {
				g := &guard{look: hostLook{table: &mountTable{mounts: mounts}}}
				assert.Equal(b, len(g.directories([]string{"/p"})), count+1)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/mount")
		})
	}
}
