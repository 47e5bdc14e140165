// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// TestWalksAreBounded follows paths in hostile rootfs. It counts steps, because time
// depends on the machine.
func TestWalksAreBounded(t *testing.T) {
	up := strings.Repeat("x/../", 818) + "x" // PATH_MAX of components
	deep := strings.Repeat("d/", 1000)
	for _, tc := range []struct {
		name    string
		entries []string
		path    string
		mounts  int
		steps   int // at most
		looked  int // bytes at most
		wantErr error
	}{
		{"a plain path", nil, "/usr/lib/plugin/data", 0, 4, 1 << 10, nil},
		{"a path of what does not exist", nil, "/" + strings.Repeat("a/", 2000), 0, 2000, 300, nil},
		{"up and down where nothing exists", nil, "/a/" + strings.Repeat("b/../", 800), 0, 1601, 300, nil},
		{
			"links of the greatest length",
			[]string{"rootfs/x/", "rootfs/l0 -> " + up, "rootfs/l1 -> l0/../l0/../" + up[:3900] + "/l0", "rootfs/w -> l1/../l1/../l1"},
			"/w", 0, maxSteps + 1, maxLookBytes, errTooFar,
		},
		{"a link to itself", []string{"rootfs/a -> a"}, "/a/b", 0, maxLinks + 2, maxLookBytes, errTooFar},
		{"directories that are deep", []string{"rootfs/" + deep[:1500]}, "/" + deep[:1500] + strings.Repeat("e/", 1800), 0, maxSteps, maxLookBytes + maxPathBytes, errTooFar},
		{"beyond PATH_MAX", nil, "/" + strings.Repeat("0123456789", 500), 0, 1, 0, errTooFar},
		{"a name that is too long", nil, "/" + strings.Repeat("n", 300) + "/a", 0, 2, 1 << 10, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, _ := plant(t, "", tc.entries...)
			w := tree{rootfs: p.Rootfs}.walk(tc.path)
			assert.Check(t, w.steps <= tc.steps, "%d steps", w.steps)
			assert.Check(t, w.looked <= tc.looked, "asked for paths of %d bytes", w.looked)
			if tc.wantErr == nil {
				assert.Check(t, w.err)
				return
			}
			assert.Check(t, is.ErrorIs(w.err, tc.wantErr))
			assert.Check(t, is.Equal(w.at, noSuchPath))
		})
	}
}

// TestBudgetBoundsAllWalks shares one budget, as the walks for one spec do.
func TestBudgetBoundsAllWalks(t *testing.T) {
	p, _ := plant(t, "", "rootfs/a/b/c")
	budget := 20 * len(p.Rootfs)
	seen := tree{rootfs: p.Rootfs, budget: &budget}
	walks := 0
	for ; walks < 100; walks++ {
		if _, err := seen.resolve("/a/b/c"); err != nil {
			assert.ErrorIs(t, err, errTooFar)
			break
		}
	}
	assert.Check(t, walks > 2 && walks < 10, "%d walks", walks)
}

// TestWalkAfterWhatIsMissing finds links again behind names that do not exist,
// and what is mounted below them.
func TestWalkAfterWhatIsMissing(t *testing.T) {
	p, directory := plant(t, "", "rootfs/link -> /b", "rootfs/b/", "host/link -> deep", "host/deep/")
	seen := tree{rootfs: p.Rootfs, mounts: []mounted{{point: "/none/host", source: filepath.Join(directory, "host"), kind: hostFiles}}}
	for path, want := range map[string]string{
		"/missing/../link":        "/b",
		"/missing/a/../../link/c": "/b/c",
		"/missing/../link/../b":   "/b",
		"/none/host/link":         "/none/host/deep",
		"/none/x/../host/link/y":  "/none/host/deep/y",
		"/none/host/../../link":   "/b",
	} {
		place, err := seen.resolve(path)
		assert.NilError(t, err)
		assert.Check(t, is.Equal(place, want), path)
	}
}
