// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

const thenText = " 2021-03-04T05:06:07.891Z"

// capability is a valid security.capability: cap_net_bind_service=ep.
const capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

func TestEveryKindOfEntry(t *testing.T) {
	owned := func(h *tar.Header) { h.Uid, h.Gid = 1234, 70000 }
	layer := archive(t,
		folder("bin").mode(0o1777).with(owned),
		file("bin/tool", "\x7fELF").mode(0o6755).with(owned),
		file("bin/empty", "").mode(0),
		hardlink("bin/again", "bin/tool").mode(0o6755).with(owned),
		symlink("bin/sh", "/bin/../busybox").with(owned),
		hardlink("bin/sh2", "bin/sh").with(owned),
		device(tar.TypeChar, "null", 1, 3).mode(0o666),
		device(tar.TypeBlock, "disk", 259, 70000),
		device(tar.TypeFifo, "pipe", 9, 9).with(owned),
		file("capable", "x").mode(0o755).with(owned).xattr("security.capability", capability),
		folder("labelled").xattr("user.note", "one\x00two"),
		file("old", "").with(func(h *tar.Header) { h.ModTime = then.AddDate(-100, 0, 0) }),
		file("trusted", "").xattr("trusted.overlay.opaque", "y"),
		symlink("note", "x").xattr("user.note", "left out"),
		file("odd", "").xattr("no.such.class", "left out"),
		file("implied/parents/"+strings.Repeat("n", 255), "x"),
		entry{tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "ignored"}}, ""},
	)
	umask := unix.Umask(0o077)
	defer unix.Umask(umask)
	p := newPlayground(t)
	unix.Umask(0o777)
	assert.NilError(t, p.apply(t, Limits{}, layer))
	unix.Umask(0o022)

	elf, x := " 4 bytes "+short("\x7fELF"), " 1 bytes "+short("x")
	empty := " 0 bytes " + short("")
	assert.DeepEqual(t, snapshot(t, p.root), map[string]string{
		"bin":             "041777 1234:70000" + thenText,
		"bin/again":       "106755 1234:70000" + elf + thenText,
		"bin/tool":        "106755 1234:70000" + elf + thenText + " same as bin/again",
		"bin/empty":       "100000 0:0" + empty + thenText,
		"bin/sh":          "120777 1234:70000 -> /bin/../busybox" + thenText,
		"bin/sh2":         "120777 1234:70000 -> /bin/../busybox" + thenText + " same as bin/sh",
		"null":            "020666 0:0 1,3" + thenText,
		"disk":            "060600 0:0 259,70000" + thenText,
		"pipe":            "010600 1234:70000" + thenText,
		"capable":         "100755 1234:70000" + x + thenText + fmt.Sprintf(" security.capability=%q", capability),
		"labelled":        "040755 0:0" + thenText + ` user.note="one\x00two"`,
		"old":             "100644 0:0" + empty + " 1970-01-01T00:00:00Z",
		"trusted":         "100644 0:0" + empty + thenText,
		"note":            "120777 0:0 -> x" + thenText,
		"odd":             "100644 0:0" + empty + thenText,
		"implied":         "040755 0:0",
		"implied/parents": "040755 0:0",
		"implied/parents/" + strings.Repeat("n", 255): "100644 0:0" + x + thenText,
	})
}

// A change of owner clears the set-id bits of a file but not of a directory. In
// the end both have the mode of their last entry.
func TestModeAfterChangeOfOwner(t *testing.T) {
	owned := func(h *tar.Header) { h.Uid, h.Gid = 12, 34 }
	p := newPlayground(t)
	assert.NilError(t, p.apply(t, Limits{},
		archive(t, folder("d").mode(0o6755), file("f", "").mode(0o6755), folder("e").mode(0o755)),
		archive(t, folder("d").mode(0o755).with(owned), hardlink("g", "f").mode(0o755).with(owned), folder("e").mode(0o6755).with(owned)),
	))
	snap := snapshot(t, p.root)
	for name, want := range map[string]string{"d": "040755 12:34", "e": "046755 12:34", "f": "100755 12:34", "g": "100755 12:34"} {
		assert.Check(t, strings.HasPrefix(snap[name], want), "%s: %s", name, snap[name])
	}
}

func short(content string) string { return digest.FromString(content).Encoded()[:12] }

func TestLayersOverLayers(t *testing.T) {
	tests := []struct {
		name   string
		layers [][]entry
		want   string // the paths below the root, and file contents
	}{
		{"file replaces file, and its other name stays", [][]entry{
			{file("a", "old"), hardlink("b", "a")},
			{file("a", "new")},
		}, "a=new b=old"},
		{"directory is merged", [][]entry{
			{folder("d"), file("d/a", "a")},
			{folder("d").mode(0o700), file("d/b", "b")},
		}, "d/ d/a=a d/b=b"},
		{"file replaces directory", [][]entry{{file("d/e/f", "x")}, {file("d", "file")}}, "d=file"},
		{"directory replaces file", [][]entry{{file("d", "file")}, {folder("d"), file("d/e", "x")}}, "d/ d/e=x"},
		{"symlink replaces directory", [][]entry{{file("d/e", "x"), folder("f")}, {symlink("d", "f"), file("d/g", "y")}}, "d->f f/ f/g=y"},
		{"directory replaces symlink", [][]entry{{symlink("d", "f"), folder("f")}, {folder("d"), file("d/g", "y")}}, "d/ d/g=y f/"},
		{"hard link across layers", [][]entry{{file("d/a", "x")}, {hardlink("b", "d/a")}}, "b=x d/ d/a=x"},
		{"hard link replaces file", [][]entry{{file("a", "x"), file("b", "y")}, {hardlink("b", "a")}}, "a=x b=x"},
		{"through symlinked directory", [][]entry{{symlink("lib", "usr/lib"), folder("usr/lib")}, {file("lib/a", "x")}}, "lib->usr/lib usr/ usr/lib/ usr/lib/a=x"},
		{"through dangling symlinks", [][]entry{{symlink("a", "/b/../c"), symlink("b", "d/e"), file("a/x", "x"), file("b/y", "y")}}, "a->/b/../c b->d/e d/ d/c/ d/c/x=x d/e/ d/e/y=y"},
		{"whiteout of a file", [][]entry{{file("d/a", "x"), file("d/b", "y")}, {file("d/.wh.a", "")}}, "d/ d/b=y"},
		{"whiteout of a tree", [][]entry{{file("d/e/f/g", "x")}, {file(".wh.d", "")}}, ""},
		{"whiteout of a tree, then a new one", [][]entry{{file("d/e/old", "x")}, {file("d/e/a", ""), file(".wh.d", ""), file("d/e/b", "")}}, "d/ d/e/ d/e/b="},
		{"whiteout of nothing", [][]entry{{file("a", "x")}, {file(".wh.b", ""), file("c/.wh.d", "")}}, "a=x c/"},
		{"whiteout keeps the other layers' same names", [][]entry{{file("d/a", "x"), file("a", "y")}, {file(".wh.a", "")}}, "d/ d/a=x"},
		{"opaque directory first", [][]entry{{file("d/a", "x"), file("d/e/f", "x")}, {folder("d"), file("d/.wh..wh..opq", ""), file("d/b", "y")}}, "d/ d/b=y"},
		{"opaque directory last", [][]entry{{file("d/a", "x"), file("d/e/f", "x")}, {file("d/e/g", "z"), file("d/b", "y"), file("d/.wh..wh..opq", "")}}, "d/ d/b=y d/e/ d/e/g=z"},
		{"opaque directory by another path", [][]entry{{file("usr/lib/a", "x"), symlink("lib", "usr/lib")}, {file("lib/b", "y"), file("usr/lib/.wh..wh..opq", "")}}, "lib->usr/lib usr/ usr/lib/ usr/lib/b=y"},
		{"opaque root", [][]entry{{file("a", "x"), file("d/e", "x")}, {file("b", "y"), file(".wh..wh..opq", "")}}, "b=y"},
		{"opaque lowest directory", [][]entry{{file("d/a", "x"), file("d/.wh..wh..opq", "")}}, "d/ d/a=x"},
		{"other marks of aufs", [][]entry{{file(".wh..wh.aufs", "skipped"), folder(".wh..wh.plnk"), file("a", "x")}}, "a=x"},
		{"replaced directory within a layer", [][]entry{{folder("d"), file("d/a", "x"), file("d", "file")}}, "d=file"},
		{"removed directory within a layer", [][]entry{{folder("d"), folder("d/e"), file(".wh.d", "")}}, ""},
		{"empty layer", [][]entry{{file("a", "x")}, {}}, "a=x"},
		{"sparse names with dots", [][]entry{{file("./a/./b//c", "x")}}, "a/ a/b/ a/b/c=x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayground(t)
			var layers [][]byte
			for _, entries := range test.layers {
				layers = append(layers, archive(t, entries...))
			}
			assert.NilError(t, p.apply(t, Limits{}, layers...))
			assert.Equal(t, listing(t, p.root), test.want)
		})
	}
}

// listing returns the sorted paths below dir with their contents.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var lines []string
	assert.NilError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		switch {
		case d.IsDir():
			name += "/"
		case d.Type() == os.ModeSymlink:
			target, err := os.Readlink(path)
			assert.NilError(t, err)
			name += "->" + target
		case d.Type() == os.ModeNamedPipe:
			name += "|" // a fifo, which would block a reader
		default:
			content, err := os.ReadFile(path)
			assert.NilError(t, err)
			name += "=" + string(content)
		}
		lines = append(lines, name)
		return nil
	}))
	return strings.Join(lines, " ")
}

// Unpacking handles more directories than stay open, in an order that defeats
// the cache.
func TestManyDirectories(t *testing.T) {
	var entries []entry
	for i := range 4 * maxOpenDirectories {
		entries = append(entries, folder(fmt.Sprintf("d%d", i)))
	}
	for round := range 3 {
		for i := range 4 * maxOpenDirectories {
			from := fmt.Sprintf("d%d/f%d", i, round)
			entries = append(entries, file(from, from), hardlink(fmt.Sprintf("d%d/l%d", (i*7)%100, i*3+round), from))
		}
	}
	p := newPlayground(t)
	before := openFiles(t)
	assert.NilError(t, p.apply(t, Limits{}, archive(t, entries...)))
	assert.Equal(t, openFiles(t), before, "a descriptor was left open")
	assert.Equal(t, len(snapshot(t, p.root)), len(entries))
	for name, line := range snapshot(t, p.root) {
		if strings.HasPrefix(line, "04") {
			assert.Check(t, is.Contains(line, thenText), "%s got a time before its content", name)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	assert.NilError(t, err)
	return len(open)
}

func TestLayerIsWhatWasRead(t *testing.T) {
	packed := append(archive(t, file("a", "x")), make([]byte, 10240)...)
	u, err := NewUnpacker(t.TempDir(), Limits{})
	assert.NilError(t, err)
	defer u.Close()
	for range 2 {
		layer, err := u.applyPlain(t.Context(), bytes.NewReader(packed))
		assert.NilError(t, err)
		assert.Equal(t, layer, Layer{DiffID: digest.FromBytes(packed), Bytes: int64(len(packed))})
	}
	empty, err := u.applyPlain(t.Context(), bytes.NewReader(nil))
	assert.NilError(t, err)
	assert.Equal(t, empty, Layer{DiffID: digest.FromBytes(nil)})
}
