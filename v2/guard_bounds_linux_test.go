// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// TestGuardWithinEachBudget ends the guard's walks after each number of bytes: no
// walk that ends before a link passes.
func TestGuardWithinEachBudget(t *testing.T) {
	for _, kind := range []string{"source", "device"} {
		t.Run(kind, func(t *testing.T) {
			host := t.TempDir()
			p, replace := replaceable(t, kind, host, host+"/data/x")
			spec, err := p.InitSpec(t.TempDir())
			assert.NilError(t, err)
			replace()
			check := func(budget int) (left int, err error) {
				f := newFootprint(spec, p, t.TempDir())
				g := f.newGuard(spec, p, budget)
				err = g.check()
				return *g.budget, err
			}
			left, err := check(maxGrantLookBytes)
			var changed *ChangedGrantError
			assert.Assert(t, errors.As(err, &changed), "%v", err)
			for budget := range maxGrantLookBytes - left {
				_, err := check(budget)
				assert.Assert(t, err != nil, "the guard passes with a budget of %d bytes", budget)
			}
		})
	}
}

// TestSourcesWithinEachBudget ends the footprint's walks through the host.
func TestSourcesWithinEachBudget(t *testing.T) {
	host := t.TempDir()
	p := granted(t, bind("s", host, "/s"))
	spec, err := p.InitSpec(t.TempDir())
	assert.NilError(t, err)
	for budget, want := range map[int]string{0: "can't be followed", maxGrantLookBytes: ""} {
		f := newFootprint(spec, p, t.TempDir())
		f.host.budget = &budget
		assert.Check(t, f.follow(spec))
		if want == "" {
			assert.Check(t, f.lost)
		} else {
			assert.Check(t, is.ErrorContains(f.lost, want))
		}
	}
}

// TestLongPathsOfGrants replaces the targets of paths that are longer than images
// need, but that the kernel follows.
func TestLongPathsOfGrants(t *testing.T) {
	for _, tc := range []struct {
		name    string
		path    func(t *testing.T, host string) string
		refused string // before a plugin replaces the target
	}{
		{"many directories", func(_ *testing.T, host string) string {
			return host + "/data/" + strings.Repeat("d/", 1100) + "x"
		}, ""},
		{"more components than are followed", func(t *testing.T, host string) string {
			for _, next := range []string{"1", "2", "3", "4", "5", "6", "7"} {
				name := filepath.Join(host, "links", string(next[0]-1))
				assert.NilError(t, os.Symlink(strings.Repeat("../links/", 440)+next, name))
			}
			assert.NilError(t, os.Symlink("../data", host+"/links/7"))
			return host + "/links/0/x"
		}, "can't be followed"},
	} {
		for _, kind := range []string{"source", "device"} {
			t.Run(tc.name+", "+kind, func(t *testing.T) {
				host := t.TempDir()
				assert.NilError(t, os.Mkdir(host+"/links", 0o755))
				p, replace := replaceable(t, kind, host, tc.path(t, host))
				_, err := p.InitSpec(t.TempDir())
				if kind == "source" && tc.refused != "" {
					assert.Check(t, is.ErrorContains(err, tc.refused))
				} else {
					assert.NilError(t, err)
				}
				replace()
				_, err = p.InitSpec(t.TempDir())
				var changed *ChangedGrantError
				if tc.refused != "" {
					assert.Check(t, is.ErrorContains(err, tc.refused))
				} else {
					assert.Check(t, errors.As(err, &changed), "%v", err)
				}
			})
		}
	}
}

// replaceable returns a plugin that can write to host/data, with another grant of a
// path there. replace makes the path lead elsewhere.
func replaceable(t *testing.T, kind, host, path string) (p *Plugin, replace func()) {
	t.Helper()
	assert.NilError(t, os.MkdirAll(host+"/data", 0o755))
	assert.NilError(t, os.MkdirAll(host+"/secret", 0o755))
	assert.NilError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	written := bind("w", host+"/data", "/w")
	if kind == "source" {
		assert.NilError(t, os.Mkdir(path, 0o755))
		p = granted(t, written, bind("s", path, "/s"))
		replace = func() {
			assert.NilError(t, os.Remove(path))
			assert.NilError(t, os.Symlink(host+"/secret", path))
		}
	} else {
		testenv.NeedsRoot(t, "making device nodes")
		makeNode := func(minor uint32) {
			assert.NilError(t, unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, minor))))
		}
		makeNode(3)
		p = granted(t, written)
		p.PluginObj.Config.Linux.Devices = []types.PluginDevice{{Name: "d", Path: &path}}
		p.InitEmptySettings()
		replace = func() {
			assert.NilError(t, os.Remove(path))
			makeNode(5)
		}
	}
	pin(t, p)
	return p, replace
}

// TestGuardRefusesTheUnseen gives the guard a source that it could not follow, and
// walks that are beyond its budget.
func TestGuardRefusesTheUnseen(t *testing.T) {
	budget := 0
	g := &guard{view: granted(t), budget: &budget, sources: []source{{destination: "/s", path: "/x", lost: errTooFar}}}
	assert.Check(t, is.ErrorContains(g.check(), "its mount at /s has the source /x, which can't be followed"))
	g.sources = nil
	assert.Check(t, g.check())
	budget--
	assert.Check(t, is.ErrorIs(g.check(), errTooMuch))
}
