// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/testseed"
)

func TestMergeExposures(t *testing.T) {
	stays := func(directories ...string) (set []Exposure) {
		for _, directory := range directories {
			set = append(set, Exposure{Directory: directory})
		}
		return set
	}
	for _, tc := range []struct {
		name           string
		set, add, want []Exposure
	}{
		{"nothing", nil, nil, nil},
		{"another one", stays("/a"), stays("/b"), stays("/a", "/b")},
		{"the same", stays("/a"), stays("/a"), stays("/a")},
		{"a directory below", stays("/a"), stays("/a/b/c"), stays("/a")},
		{"a directory above", stays("/a/b", "/c", "/a/d"), stays("/a"), stays("/c", "/a")},
		{"a directory with a similar name", stays("/a"), stays("/ab"), stays("/a", "/ab")},
		{"files that stay below some that do not", []Exposure{{"", "/run", "1"}}, stays("/run/disk"), []Exposure{{"", "/run", "1"}, {"", "/run/disk", ""}}},
		{"files that do not stay below some that do", stays("/a"), []Exposure{{"", "/a/tmp", "1"}}, stays("/a")},
		{"the same files, which stay now", []Exposure{{"", "/a", "1"}}, stays("/a"), stays("/a")},
		{"a directory below, by another mount", stays("/a"), []Exposure{{"/m", "/a/b", ""}}, []Exposure{{"", "/a", ""}, {"/m", "/a/b", ""}}},
		{"a file system, and a directory of it", []Exposure{{"/d", "8:1:", "1"}}, []Exposure{{"/d", "8:1:/b", "1"}}, []Exposure{{"/d", "8:1:", "1"}}},
		{"too many", stays("/a", "/b", "/c"), stays("/d/e/f", "/d/e/g"), stays("/a", "/b", "/c", "/d/e")},
		{"too many that have no parents", stays("/a", "/b", "/c", "/d"), stays("/e"), stays("/a", "/b", "/c", "/d", "/e")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.DeepEqual(t, mergeExposures(tc.set, tc.add, 4), tc.want)
		})
	}
}

// TestMergedExposuresCoverEach adds exposures at random. Each stays covered, no
// exposure covers another one, and there are few.
func TestMergedExposuresCoverEach(t *testing.T) {
	seed := testseed.Of(t)
	random := rand.New(rand.NewPCG(seed, 0))
	const limit = 16
	var set, all []Exposure
	for range 500 {
		var directory strings.Builder
		for range 1 + random.IntN(5) {
			fmt.Fprintf(&directory, "/%d", random.IntN(6))
		}
		e := Exposure{Directory: directory.String()}
		if random.IntN(4) == 0 {
			e.Boot = "1"
		}
		all = append(all, e)
		set = mergeExposures(set, []Exposure{e}, limit)
		assert.Assert(t, len(set) <= limit)
		for i, one := range set {
			for j, other := range set {
				assert.Assert(t, i == j || !one.covers(other), "%v and %v", one, other)
			}
		}
	}
	for _, e := range all {
		covered := false
		for _, one := range set {
			covered = covered || one.covers(e)
		}
		assert.Check(t, covered, "%v", e)
	}
}

// TestExposedOutlivesARoot fails each step of a write. After an error the set is
// unchanged; after success the next Root reads the new set. Exposures of an earlier
// boot of the host are dropped.
func TestExposedOutlivesARoot(t *testing.T) {
	first, second := Exposure{Directory: "/a"}, Exposure{Directory: "/b", Boot: "1"}
	for k, reached := 0, true; reached; k++ {
		dir := t.TempDir()
		files := &durable.FS{}
		r := open(t, dir, files)
		assert.NilError(t, r.Expose([]Exposure{first}))
		calls := failing(files, func(call int) bool { return call == k })
		err := r.Expose([]Exposure{second})
		reached = *calls > k
		files.Fault = nil
		want := []Exposure{first, second}
		if err != nil {
			assert.Check(t, is.ErrorIs(err, errDisk))
			want = want[:1]
		}
		assert.DeepEqual(t, exposedBy(r), want)
		assert.NilError(t, r.Expose([]Exposure{second}), "what failed is tried again")

		for boot, want := range map[string][]Exposure{"1": {first, second}, "2": {first}} {
			next := open(t, dir, nil)
			assert.NilError(t, next.Sweep(t.Context()))
			assert.NilError(t, next.LoadExposed(boot))
			assert.DeepEqual(t, exposedBy(next), want)
			_, err := os.Lstat(durable.Temporary(next.exposures()))
			assert.Check(t, os.IsNotExist(err))
		}
	}
}

// TestExposedIsWrittenOnce: a run that exposes nothing new costs no sync.
func TestExposedIsWrittenOnce(t *testing.T) {
	files := &durable.FS{}
	r := open(t, t.TempDir(), files)
	assert.NilError(t, r.Expose([]Exposure{{Directory: "/a"}}))
	calls := failing(files, func(int) bool { return false })
	assert.NilError(t, r.Expose([]Exposure{{Directory: "/a/b"}, {Directory: "/a", Boot: "1"}}))
	assert.NilError(t, r.Expose(nil))
	assert.Equal(t, *calls, 0)
	assert.NilError(t, r.Close())
	var fenced *FencedError
	assert.Check(t, is.ErrorType(r.Expose([]Exposure{{Directory: "/c"}}), fenced))
}

// exposedBy returns the set of a root.
func exposedBy(r *Root) []Exposure {
	set, _ := r.Exposed()
	return set
}

// TestDamagedExposuresAreKept damages the file in all ways, and lets the root
// write a new one. The damaged file is still there, and the set counts as
// damaged until that file is removed.
func TestDamagedExposuresAreKept(t *testing.T) {
	damage := map[string]func(path string) error{
		"truncated":      func(path string) error { return os.WriteFile(path, []byte(`[{"Directory":"/a"},`), 0o600) },
		"empty":          func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"something else": func(path string) error { return os.WriteFile(path, []byte(`[{"directories":"/a"}]`), 0o600) },
		"a directory":    func(path string) error { return os.MkdirAll(filepath.Join(path, "a"), 0o700) },
	}
	for name, spoil := range damage {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, exposuresName)
			for _, aside := range []string{path + ".damaged", path + ".damaged-2"} {
				assert.NilError(t, os.RemoveAll(path))
				assert.NilError(t, spoil(path))
				before, err := os.Lstat(path)
				assert.NilError(t, err)
				r := open(t, dir, nil)
				assert.Check(t, is.ErrorContains(r.LoadExposed(""), exposuresName))
				assert.NilError(t, r.Expose([]Exposure{{Directory: "/b"}}))
				kept, err := os.Lstat(aside)
				assert.NilError(t, err)
				assert.Check(t, os.SameFile(before, kept))
				set, damaged := r.Exposed()
				assert.DeepEqual(t, set, []Exposure{{Directory: "/b"}})
				assert.Equal(t, damaged, path+".damaged")
			}
			next := open(t, dir, nil)
			assert.NilError(t, next.LoadExposed(""))
			for _, aside := range []string{path + ".damaged", path + ".damaged-2"} {
				set, damaged := next.Exposed()
				assert.DeepEqual(t, set, []Exposure{{Directory: "/b"}})
				assert.Equal(t, damaged, aside)
				assert.NilError(t, os.RemoveAll(aside))
			}
			_, damaged := next.Exposed()
			assert.Equal(t, damaged, "")
		})
	}
}

// TestDamagedExposuresAreNeverReplaced fails the step that sets the damaged file
// aside: no new set is written until it succeeds.
func TestDamagedExposuresAreNeverReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, exposuresName)
	content := `[{"Directory":"/a"},`
	assert.NilError(t, os.WriteFile(path, []byte(content), 0o600))
	files := &durable.FS{}
	r := open(t, dir, files)
	failing(files, func(int) bool { return true })
	assert.Check(t, is.ErrorIs(r.LoadExposed(""), errDisk))
	assert.Check(t, is.ErrorIs(r.Expose([]Exposure{{Directory: "/b"}}), errDisk))
	kept, err := os.ReadFile(path)
	assert.NilError(t, err)
	assert.Equal(t, string(kept), content)
	_, damaged := r.Exposed()
	assert.Equal(t, damaged, path)
	files.Fault = nil
	assert.NilError(t, r.Expose([]Exposure{{Directory: "/b"}}))
	_, damaged = r.Exposed()
	assert.Equal(t, damaged, path+".damaged")
}
