// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/pkg/archive"
	"gotest.tools/v3/assert"
)

var seed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the random layers")

// Random layers unpack to the same tree as with containerd's apply.
func TestSameAsContainerd(t *testing.T) {
	for round := range 150 {
		t.Logf("go test -run %s -seed %d", t.Name(), *seed+uint64(round))
		g := newGenerator(*seed + uint64(round))
		own, reference := newPlayground(t), newPlayground(t)
		u, err := NewUnpacker(own.root, Limits{})
		assert.NilError(t, err)
		defer u.Close()
		for range 1 + g.random.IntN(4) {
			layer := archive(t, g.layer()...)
			_, referenceErr := containerd.Apply(t.Context(), reference.root, bytes.NewReader(layer))
			_, err := u.applyPlain(t.Context(), bytes.NewReader(layer))
			assert.Equal(t, err == nil, referenceErr == nil, "own: %v, containerd: %v", err, referenceErr)
			if err != nil {
				break
			}
			assert.DeepEqual(t, snapshot(t, own.root), snapshot(t, reference.root))
		}
	}
}

// generator makes layers with many entries of few names, so that names collide.
type generator struct {
	random *rand.Rand
	known  []string // names used by a layer so far
}

func newGenerator(seed uint64) *generator {
	return &generator{random: newRandom(seed)}
}

// layer returns one of two kinds of layers. The first is like those that tools
// write: each name occurs once, after its parent directories. The second has no
// directories, so that its entries end up wherever symbolic links lead.
func (g *generator) layer() []entry {
	var entries []entry
	taken := map[string]byte{}
	tidy := g.random.IntN(3) > 0
	for range 1 + g.random.IntN(25) {
		name := g.name()
		if _, ok := taken[name]; ok {
			continue
		}
		if tidy {
			folders, ok := g.folders(name, taken)
			if !ok {
				continue
			}
			entries = append(entries, folders...)
		}
		e := g.entry(name)
		if !tidy && (e.Typeflag == tar.TypeDir || strings.Contains(e.Name, ".wh.")) {
			continue
		}
		taken[name] = e.Typeflag
		entries = append(entries, e)
		g.known = append(g.known, name)
	}
	return entries
}

// folders returns the parent directories of a name that its layer lacks. It
// returns false if a parent can't be a directory.
func (g *generator) folders(name string, taken map[string]byte) ([]entry, bool) {
	var missing []entry
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		kind, ok := taken[dir]
		if ok && kind != tar.TypeDir {
			return nil, false
		}
		if !ok {
			missing = append(missing, g.metadata(folder(dir)))
		}
	}
	for _, e := range missing {
		taken[path.Clean(e.Name)] = tar.TypeDir
	}
	slices.Reverse(missing)
	return missing, true
}

func (g *generator) name() string {
	if len(g.known) > 0 && g.random.IntN(3) == 0 {
		known := g.known[g.random.IntN(len(g.known))]
		if g.random.IntN(2) == 0 {
			return known
		}
		return path.Join(known, g.part())
	}
	name := g.part()
	for range g.random.IntN(4) {
		name = path.Join(name, g.part())
	}
	return name
}

func (g *generator) part() string { return string(rune('a' + g.random.IntN(4))) }

func (g *generator) entry(name string) entry {
	dir, base := path.Split(name)
	switch g.random.IntN(12) {
	case 0:
		return file(dir+".wh."+base, "")
	case 1:
		return file(dir+".wh..wh..opq", "")
	case 2:
		return file(dir+".wh..wh."+base, "")
	case 3:
		return g.metadata(symlink(name, path.Join("/", g.name())))
	case 4:
		return g.metadata(symlink(name, "../"+g.name()))
	case 5:
		if len(g.known) > 0 {
			return g.metadata(hardlink(name, g.known[g.random.IntN(len(g.known))]))
		}
		return g.metadata(folder(name))
	case 6:
		return g.metadata(folder(name))
	case 7:
		return g.metadata(device([]byte{tar.TypeChar, tar.TypeBlock, tar.TypeFifo}[g.random.IntN(3)], name, 7, 8))
	}
	return g.metadata(file(name, text(g.random, g.random.IntN(5000))))
}

func (g *generator) metadata(e entry) entry {
	e.Mode = g.random.Int64N(0o10000)
	e.Uid, e.Gid = g.random.IntN(3), g.random.IntN(70000)
	e.ModTime = time.Unix(g.random.Int64N(1e9), g.random.Int64N(1e9))
	if g.random.IntN(4) == 0 {
		e = e.xattr(fmt.Sprintf("user.%c", 'a'+g.random.IntN(3)), "\x00value")
	}
	return e
}

// The two differences from containerd that the package's documentation lists
// still exist.
func TestDifferencesFromContainerd(t *testing.T) {
	lower := archive(t, file("d/e/old", ""))
	upper := archive(t, file("d/e/new", ""), file("d/.wh..wh..opq", ""))
	own, reference := newPlayground(t), newPlayground(t)
	assert.NilError(t, own.apply(t, Limits{}, lower, upper))
	for _, layer := range [][]byte{lower, upper} {
		_, err := containerd.Apply(t.Context(), reference.root, bytes.NewReader(layer))
		assert.NilError(t, err)
	}
	_, err := os.Stat(filepath.Join(own.root, "d/e/new"))
	assert.NilError(t, err)
	_, err = os.Stat(filepath.Join(reference.root, "d/e/new"))
	assert.Check(t, os.IsNotExist(err), "containerd has changed: remove this difference")
}
