// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// ofRoot returns the description of the root itself.
func (p *playground) ofRoot(t *testing.T) string {
	t.Helper()
	var stat unix.Stat_t
	assert.NilError(t, unix.Lstat(p.root, &stat))
	return describe(t, p.root, stat)
}

// odd returns an entry of the root with unusual metadata.
func odd(name string) entry {
	return folder(name).mode(0o7751).with(func(h *tar.Header) { h.Uid, h.Gid = 12, 34 }).xattr("user.note", "ours")
}

const oddText = "047751 12:34" + thenText + ` user.note="ours"`

func TestRootsOwnEntry(t *testing.T) {
	content := file("a", "x")
	tests := []struct {
		name   string
		layers [][]entry
		want   string
	}{
		{"none", [][]entry{{content}}, "040755 0:0"},
		{"no layer", nil, "040755 0:0"},
		{"as docker has it", [][]entry{{odd(".").with(func(h *tar.Header) { h.Name = "." }), content}}, oddText},
		{"as tar has it", [][]entry{{odd("."), content}}, oddText},
		{"after all else", [][]entry{{content, odd(".")}}, oddText},
		{"by a name that leads there", [][]entry{{content, odd("a/../..")}}, oddText},
		{"twice", [][]entry{{folder(".").mode(0), content, odd(".")}}, oddText},
		{"locked", [][]entry{{folder(".").mode(0), content}, {file("b", "x")}}, "040000 0:0"},
		{"of a lower layer", [][]entry{{odd(".")}, {}}, oddText},
		{"of every layer", [][]entry{{folder(".").mode(0o700)}, {odd("."), content}}, oddText},
		{"over an opaque mark", [][]entry{{odd("."), content}, {file(".wh..wh..opq", "")}}, "047751 12:34" + ` user.note="ours"`},
		{"not a directory", [][]entry{{content, file(".", "x"), symlink("/", "/etc"), hardlink("..", "a"), device(tar.TypeFifo, "/.", 0, 0)}}, "040755 0:0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayground(t)
			var layers [][]byte
			for _, entries := range test.layers {
				layers = append(layers, archive(t, entries...))
			}
			umask := unix.Umask(0o777)
			defer unix.Umask(umask)
			assert.NilError(t, p.apply(t, Limits{}, layers...))
			assert.Equal(t, p.ofRoot(t), test.want)
			p.checkUntouched(t)
		})
	}
}

func TestRootsOwnEntryRefused(t *testing.T) {
	p := newPlayground(t)
	err := p.apply(t, Limits{}, archive(t, folder(".").with(func(h *tar.Header) { h.Gid = -1 })))
	assert.Check(t, is.ErrorContains(err, `"./": owner 0:-1 is out of range`))
	checkInvalid(t, err)
	err = p.apply(t, Limits{}, archive(t, folder(".").xattr("user."+strings.Repeat("n", 300), "x")))
	assert.Check(t, is.ErrorContains(err, `"./": name or value of an extended attribute is too long`))
	checkInvalid(t, err)
}

// Split makes the entry rootfs/ of the build context the root's entry: on disk,
// in the layer, and where the layer is unpacked.
func TestSplitKeepsRootsOwnEntry(t *testing.T) {
	context := archive(t, file("config.json", "{}"), odd("rootfs"), file("rootfs/a", "x"))
	created := newPlayground(t)
	_, layer, err := created.split(t, context, Limits{})
	assert.NilError(t, err)
	assert.Equal(t, created.ofRoot(t), oddText)

	plain := decompressed(t, layer)
	header, err := tar.NewReader(bytes.NewReader(plain)).Next()
	assert.NilError(t, err)
	assert.Equal(t, header.Name, "./")
	assert.Equal(t, header.Typeflag, byte(tar.TypeDir))

	pulled := newPlayground(t)
	assert.NilError(t, pulled.apply(t, Limits{}, plain))
	assert.Equal(t, pulled.ofRoot(t), oddText)
	assert.DeepEqual(t, snapshot(t, pulled.root), snapshot(t, created.root))
}
