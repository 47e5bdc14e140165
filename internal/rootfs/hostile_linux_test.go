// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/errdefs"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// Hostile layers are refused with an error that names the entry, or unpacked
// inside the root. Nothing outside the root changes.
func TestHostileLayers(t *testing.T) {
	long := strings.Repeat("n", 256)
	deep := strings.Repeat("d/", 2000)
	tests := []struct {
		name    string
		entries func(sentinel string) []entry
		refused string // part of the error
		lands   string // if not refused, the file below the root with the content "payload"
	}{
		{"dot-dot name", fixed(file("../victim", "payload")), "", "victim"},
		{"many dot-dots", fixed(file("a/../../../../victim", "payload")), "", "victim"},
		{"absolute name", func(s string) []entry { return []entry{file(s+"/victim", "payload")} }, "", "SENTINEL/victim"},
		{"name of the root", fixed(symlink("..", "/"), file("in", "payload")), "", "in"},
		{"absolute symlink as parent", func(s string) []entry {
			return []entry{symlink("out", s), file("out/victim", "payload")}
		}, "", "SENTINEL/victim"},
		{"relative symlink as parent", fixed(symlink("out", "../sentinel"), file("out/victim", "payload")), "", "sentinel/victim"},
		{"symlink to a symlink", fixed(symlink("a", "b/.."), symlink("b", "../../.."), file("a/victim", "payload")), "", "victim"},
		{"file over symlink", func(s string) []entry {
			return []entry{symlink("victim", s+"/victim"), file("victim", "payload")}
		}, "", "victim"},
		{"directory over symlink", func(s string) []entry {
			return []entry{symlink("etc", s+"/etc"), folder("etc").mode(0o777), file("etc/passwd", "payload")}
		}, "", "etc/passwd"},
		{"mode through hard link to symlink", func(s string) []entry {
			return []entry{symlink("a", s+"/victim"), hardlink("b", "a").mode(0o777), file("c", "payload")}
		}, "", "c"},
		{"whiteout through symlink", func(s string) []entry {
			return []entry{symlink("out", s), file("out/.wh.victim", ""), file("in", "payload")}
		}, "", "in"},
		{"opaque mark through symlink", func(s string) []entry {
			return []entry{symlink("out", s), file("out/.wh..wh..opq", ""), file("in", "payload")}
		}, "", "in"},
		{"whiteout of a symlink", func(s string) []entry {
			return []entry{symlink("out", s), file(".wh.out", ""), file("in", "payload")}
		}, "", "in"},
		{"symlink loop as parent", fixed(symlink("a", "b"), symlink("b", "a"), file("a/x", "")), `"a/x": path has too many symbolic links`, ""},
		{"file as parent", fixed(file("a", ""), file("a/b", "")), `"a/b": a path component is not a directory`, ""},
		{"device as parent", fixed(device(tar.TypeChar, "a", 1, 3), file("a/b", "")), `"a/b": a path component is not a directory`, ""},
		{"hard link out", func(s string) []entry { return []entry{hardlink("x", s+"/victim")} }, "target does not exist", ""},
		{"hard link out by dot-dot", fixed(hardlink("x", "../sentinel/victim")), `"x": hard link to "../sentinel/victim": target does not exist`, ""},
		{"hard link out through symlink", func(s string) []entry {
			return []entry{symlink("out", s), hardlink("x", "out/victim")}
		}, `"x": hard link`, ""},
		{"hard link to a directory", fixed(folder("d"), hardlink("x", "d")), `"x": hard link to "d": target is a directory`, ""},
		{"hard link to the root", fixed(hardlink("x", "..")), `"x": hard link to the root directory`, ""},
		{"hard link to itself", fixed(file("x", "payload"), hardlink("x", "x")), `"x": hard link to "x": target does not exist`, ""},
		{"hard link to nothing", fixed(hardlink("x", "y/z")), `"x": hard link to "y/z": target does not exist`, ""},
		{"whiteout of nothing", fixed(file("a/.wh.", "")), `"a/.wh.": whiteout does not name an entry`, ""},
		{"whiteout of the directory", fixed(file("a/.wh..", "")), `"a/.wh..": whiteout does not name an entry`, ""},
		{"whiteout of the parent", fixed(file("a/.wh...", "")), `"a/.wh...": whiteout does not name an entry`, ""},
		{"long name", fixed(file(long, "")), "too long", ""},
		{"long path", fixed(file(strings.Repeat("dd/", 2000)+"x", "")), "too long", ""},
		{"directories nested beyond any path", fixed(folder(deep), symlink("l", deep), file("l/"+deep+"x", "")), "too long", ""},
		{"unknown type", fixed(entry{tar.Header{Typeflag: '7', Name: "x"}, ""}), `"x": unknown entry type '7'`, ""},
		{"negative owner", fixed(file("x", "").with(func(h *tar.Header) { h.Uid = -1 })), `"x": owner -1:0 is out of range`, ""},
		{"owner beyond 32 bits", fixed(file("x", "").with(func(h *tar.Header) { h.Gid = 1<<32 - 1 })), "is out of range", ""},
		{"xattr name too long", fixed(file("x", "").xattr("user."+long, "v")), `"x": name or value of an extended attribute`, ""},
		{"malformed capability", fixed(file("x", "").xattr("security.capability", "v")), `"x": file system refuses a value`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayground(t)
			err := p.apply(t, Limits{}, archive(t, test.entries(p.sentinel)...))
			p.checkUntouched(t)
			if test.refused != "" {
				var refused *EntryError
				assert.Assert(t, errors.As(err, &refused), "%v", err)
				assert.Check(t, is.ErrorContains(err, test.refused))
				checkInvalid(t, err)
				return
			}
			assert.NilError(t, err)
			lands := strings.Replace(test.lands, "SENTINEL", p.sentinel, 1)
			content, err := os.ReadFile(filepath.Join(p.root, lands))
			assert.NilError(t, err)
			assert.Equal(t, string(content), "payload")
		})
	}
}

func fixed(entries ...entry) func(string) []entry {
	return func(string) []entry { return entries }
}

// A symbolic link of one layer does not lead the next layer out of the root.
func TestHostileSecondLayer(t *testing.T) {
	p := newPlayground(t)
	err := p.apply(t, Limits{},
		archive(t, symlink("out", p.sentinel), symlink("victim", p.sentinel+"/victim"), file("plain", "x")),
		archive(t, file("out/victim", "payload"), file("out/.wh.etc", ""), hardlink("again", "victim").mode(0o777)),
		archive(t, file("victim", "payload"), folder("out")),
	)
	assert.NilError(t, err)
	p.checkUntouched(t)
	info, err := os.Lstat(filepath.Join(p.root, "out"))
	assert.NilError(t, err)
	assert.Check(t, info.IsDir())
}

func TestLimits(t *testing.T) {
	sparse := sparseArchive(t, "hole", 1<<30)
	many := make([]entry, 20)
	for i := range many {
		many[i] = file(fmt.Sprintf("f%d", i), "")
	}
	tests := []struct {
		name   string
		limits Limits
		layers [][]byte
		limit  string
	}{
		{"entries", Limits{Entries: 10}, [][]byte{archive(t, many...)}, "Entries"},
		{"entries over layers", Limits{Entries: 30}, [][]byte{archive(t, many...), archive(t, many...)}, "Entries"},
		{"directories that no entry names", Limits{Entries: 10}, [][]byte{archive(t, file(strings.Repeat("d/", 50)+"x", ""))}, "Entries"},
		{"file", Limits{FileBytes: 100}, [][]byte{archive(t, file("x", strings.Repeat("x", 101)))}, "FileBytes"},
		{"sparse file", Limits{FileBytes: 1 << 20}, [][]byte{sparse}, "FileBytes"},
		{"sparse archive", Limits{UnpackedBytes: 1 << 20}, [][]byte{sparse}, "UnpackedBytes"},
		{"archive", Limits{UnpackedBytes: 4096}, [][]byte{archive(t, many...)}, "UnpackedBytes"},
		{"archive after its end", Limits{UnpackedBytes: 4096}, [][]byte{append(archive(t), make([]byte, 8192)...)}, "UnpackedBytes"},
		{"headers alone", Limits{UnpackedBytes: 1 << 20}, [][]byte{endlessHeaders(3 << 20)}, "UnpackedBytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayground(t)
			err := p.apply(t, test.limits, test.layers...)
			var limit *LimitError
			assert.Assert(t, errors.As(err, &limit), "%v", err)
			assert.Equal(t, limit.Limit, test.limit)
			assert.Check(t, is.ErrorContains(err, test.limit))
			checkInvalid(t, err)
			assert.NilError(t, p.apply(t, Limits{}, archive(t, file("sound", ""))))
		})
	}
}

// CheckStored refuses layers by their number and sizes in the manifest.
func TestCheckStored(t *testing.T) {
	tests := []struct {
		name   string
		limits Limits
		sizes  []int64
		limit  string
	}{
		{"none", Limits{}, nil, ""},
		{"many", Limits{}, make([]int64, defaultLayers), ""},
		{"too many", Limits{}, make([]int64, defaultLayers+1), "Layers"},
		{"too many for the operator", Limits{Layers: 1}, make([]int64, 2), "Layers"},
		{"as large as allowed", Limits{UnpackedBytes: 10}, []int64{3, 7}, ""},
		{"too large together", Limits{UnpackedBytes: 10}, []int64{4, 7}, "UnpackedBytes"},
		{"too large to be added", Limits{}, []int64{math.MaxInt64, math.MaxInt64}, "UnpackedBytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.limits.CheckStored(test.sizes)
			if test.limit == "" {
				assert.NilError(t, err)
				return
			}
			var limit *LimitError
			assert.Assert(t, errors.As(err, &limit), "%v", err)
			assert.Equal(t, limit.Limit, test.limit)
			checkInvalid(t, err)
		})
	}
}

// sparseArchive packs a file of size zeros in GNU tar's PAX format, which takes
// a few bytes.
func sparseArchive(t testing.TB, name string, size int64) []byte {
	t.Helper()
	return gnuSparseArchive(t, name, size, "0\n", "")
}

// oldSparseEntry packs a file of size zeros in the older format of GNU tar, see
// https://www.gnu.org/software/tar/manual/html_node/Old-GNU-Format.html.
func oldSparseEntry(name string, size int64) []byte {
	header := make([]byte, 512)
	copy(header, name)
	copy(header[100:], "0000644\x00")
	copy(header[124:], fmt.Sprintf("%011o\x00", 0))
	copy(header[148:], "        ")
	header[156] = tar.TypeGNUSparse
	copy(header[257:], "ustar  \x00")
	copy(header[483:], fmt.Sprintf("%011o\x00", size))
	sum := 0
	for _, b := range header {
		sum += int(b)
	}
	copy(header[148:], fmt.Sprintf("%06o\x00 ", sum))
	return header
}

// fragmentedArchive packs a sparse file of single bytes at equal distances.
func fragmentedArchive(t testing.TB, name string, fragments, apart int) []byte {
	t.Helper()
	var list strings.Builder
	fmt.Fprintf(&list, "%d\n", fragments)
	for i := range fragments {
		fmt.Fprintf(&list, "%d\n1\n", i*apart)
	}
	return gnuSparseArchive(t, name, int64((fragments-1)*apart+1), list.String(), strings.Repeat("x", fragments))
}

// gnuSparseArchive packs a sparse file of the given size from a list of
// fragments and their data.
func gnuSparseArchive(t testing.TB, name string, size int64, list, data string) []byte {
	t.Helper()
	list += strings.Repeat("\x00", (512-len(list)%512)%512)
	packed := archive(t, file("GNUSparseFile.0/"+name, list+data).with(func(h *tar.Header) {
		// As long as the real keys, which archive/tar refuses to write.
		h.PAXRecords = map[string]string{
			"GNU_sparse.major":    "1",
			"GNU_sparse.minor":    "0",
			"GNU_sparse.name":     name,
			"GNU_sparse.realsize": fmt.Sprint(size),
		}
	}))
	return bytes.ReplaceAll(packed, []byte("GNU_sparse"), []byte("GNU.sparse"))
}

// endlessHeaders returns an archive of extended headers without any entry.
func endlessHeaders(size int) []byte {
	record := "20 comment=xxxxxxxx\n"
	header := make([]byte, 512)
	copy(header, "x")
	copy(header[100:], "0000644\x00")
	copy(header[124:], fmt.Sprintf("%011o\x00", len(record)))
	header[156] = 'x'
	copy(header[257:], "ustar\x0000")
	copy(header[148:], "        ")
	sum := 0
	for _, b := range header {
		sum += int(b)
	}
	copy(header[148:], fmt.Sprintf("%06o\x00 ", sum))
	block := slices.Concat(header, []byte(record))
	block = append(block, make([]byte, 512-len(record))...)
	return bytes.Repeat(block, size/len(block))
}

func TestMalformedArchives(t *testing.T) {
	sound := archive(t, file("x", strings.Repeat("x", 2000)))
	damaged := bytes.Clone(sound)
	damaged[150] ^= 0xff
	for name, layer := range map[string][]byte{
		"not an archive": bytes.Repeat([]byte("no"), 1024),
		"cut in header":  sound[:300],
		"cut in content": sound[:2500],
		"bad checksum":   damaged,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlayground(t)
			err := p.apply(t, Limits{}, layer)
			var format *FormatError
			assert.Assert(t, errors.As(err, &format), "%v", err)
			checkInvalid(t, err)
		})
	}
}

// Unpacking stops at a mount point below the root: it neither writes nor deletes
// anything on the mounted file system.
func TestMountPointIsBorder(t *testing.T) {
	p := newPlayground(t)
	mounted := filepath.Join(p.root, "mounted")
	assert.NilError(t, os.Mkdir(mounted, 0o755))
	assert.NilError(t, unix.Mount(p.sentinel, mounted, "", unix.MS_BIND, ""))
	t.Cleanup(func() { assert.Check(t, unix.Unmount(mounted, unix.MNT_DETACH)) })
	for _, e := range []entry{file("mounted/victim", "payload"), file(".wh.mounted", ""), file(".wh..wh..opq", ""), file("mounted", "")} {
		err := p.apply(t, Limits{}, archive(t, e))
		checkInvalid(t, err)
		assert.Check(t, is.ErrorContains(err, "mount point"), e.Name)
		p.checkUntouched(t)
	}
}

// Failures of the host are errors of class System, not of the archive.
func TestSystemErrors(t *testing.T) {
	full := t.TempDir()
	assert.NilError(t, unix.Mount("tmpfs", full, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { assert.Check(t, unix.Unmount(full, unix.MNT_DETACH)) })
	u, err := NewUnpacker(full, Limits{})
	assert.NilError(t, err)
	defer u.Close()
	_, err = u.applyPlain(t.Context(), bytes.NewReader(archive(t, file("x", strings.Repeat("x", 1<<20)))))
	assert.Check(t, is.ErrorIs(err, unix.ENOSPC))
	assert.Check(t, errdefs.IsSystem(err), "%v", err)
	assert.Check(t, !errdefs.IsInvalidParameter(err), "%v", err)

	_, err = NewUnpacker(filepath.Join(full, "missing"), Limits{})
	assert.Check(t, is.ErrorIs(err, os.ErrNotExist))

	broken := errors.New("connection cut")
	_, err = u.applyPlain(t.Context(), io.MultiReader(bytes.NewReader(archive(t, file("y", ""))[:600]), failing{broken}))
	assert.Check(t, is.ErrorIs(err, broken))
	assert.Check(t, !errdefs.IsInvalidParameter(err), "%v", err)
}
