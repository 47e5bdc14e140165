// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"testing"

	"github.com/docker/docker/errdefs"
	"gotest.tools/v3/assert"
)

// Limits small enough to process every input quickly.
var fuzzLimits = Limits{UnpackedBytes: 1 << 20, FileBytes: 1 << 18, Entries: 500}

// FuzzSplit checks that Split either returns a typed error, or a layer that
// unpacks to the same tree. Nothing outside the root changes. More seeds are in
// testdata/fuzz.
func FuzzSplit(f *testing.F) {
	f.Add(buildContext(f, file("a", "x"), hardlink("b", "a"), symlink("c", "/"), file("c/d", "y")))
	f.Add(sparseArchive(f, "rootfs/hole", 1<<17))
	f.Fuzz(func(t *testing.T, packed []byte) {
		p := newPlayground(t)
		_, layer, err := p.split(t, packed, fuzzLimits)
		p.checkUntouched(t)
		if err != nil {
			checkTyped(t, err)
			return
		}
		pulled := newPlayground(t)
		assert.NilError(t, pulled.apply(t, Limits{}, decompressed(t, layer)))
		assert.DeepEqual(t, snapshot(t, pulled.root), snapshot(t, p.root))
	})
}

// FuzzApply checks that any two layers unpack or are refused with a typed error.
func FuzzApply(f *testing.F) {
	f.Add(archive(f, symlink("a", "/sentinel"), folder("d"), file("d/e", "x")), archive(f, file("a/victim", "payload"), file("d/.wh..wh..opq", "")))
	f.Add(archive(f, device(tar.TypeChar, "a", 1, 3), hardlink("b", "a")), archive(f, file(".wh.a", ""), folder("b")))
	f.Fuzz(func(t *testing.T, lower, upper []byte) {
		p := newPlayground(t)
		err := p.apply(t, fuzzLimits, lower, upper)
		p.checkUntouched(t)
		if err != nil {
			checkTyped(t, err)
		}
	})
}

// checkTyped also accepts errors of class System, because the host refuses some
// attributes.
func checkTyped(t *testing.T, err error) {
	t.Helper()
	assert.Check(t, errdefs.IsInvalidParameter(err) || errdefs.IsSystem(err), "%v", err)
}
