// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/errdefs"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// form is an unusual or hostile archive, used both as a layer and as a build
// context.
type form struct {
	name    string
	entries []entry
	// raw, if set, makes the archive; its names begin with the given prefix.
	raw func(t *testing.T, prefix string) []byte
	// refused is a part of the expected error, and wants checks its type. If
	// refused is empty, lists is the listing of the unpacked tree.
	refused string
	wants   any
	lists   string
}

func (f form) archive(t *testing.T, prefix string) []byte {
	t.Helper()
	if f.raw != nil {
		return f.raw(t, prefix)
	}
	if prefix == "" {
		return archive(t, f.entries...)
	}
	return archive(t, below(prefix, f.entries)...)
}

// context returns the form as a build context.
func (f form) context(t *testing.T) []byte {
	t.Helper()
	const endMark = 1024
	head := archive(t, file("config.json", "{}"), folder("rootfs"))
	return append(head[:len(head)-endMark], f.archive(t, "rootfs/")...)
}

func TestForms(t *testing.T) {
	for _, f := range forms() {
		t.Run(f.name, func(t *testing.T) {
			layer := newPlayground(t)
			f.check(t, layer, layer.apply(t, Limits{}, f.archive(t, "")))
			split := newPlayground(t)
			_, _, err := split.split(t, f.context(t), Limits{})
			f.check(t, split, err)
		})
	}
}

func (f form) check(t *testing.T, p *playground, err error) {
	t.Helper()
	p.checkUntouched(t)
	if f.refused == "" {
		assert.NilError(t, err)
		assert.Equal(t, listing(t, p.root), f.lists)
		return
	}
	assert.Assert(t, errors.As(err, f.wants), "%v", err)
	assert.Check(t, is.ErrorContains(err, f.refused))
	checkInvalid(t, err)
}

func forms() []form {
	entryError, formatError, limitError := new(*EntryError), new(*FormatError), new(*LimitError)
	longest, tooLong := strings.Repeat("n", 255), strings.Repeat("n", 256)
	timed := func(record string) entry {
		return file("x", "").with(func(h *tar.Header) { h.PAXRecords = map[string]string{"VENDOR.mtime": record} })
	}
	return []form{
		{name: "longest name", entries: []entry{file(longest, "x")}, lists: longest + "=x"},
		{name: "name too long", entries: []entry{file(tooLong, "x")}, refused: "too long", wants: entryError},
		{name: "directory's name too long", entries: []entry{folder(tooLong)}, refused: "too long", wants: entryError},
		{name: "symbolic link's target too long", entries: []entry{symlink("l", strings.Repeat("x", 5000))}, refused: "too long", wants: entryError},
		{name: "path too long", entries: []entry{file(strings.Repeat("dd/", 2000)+"x", "")}, refused: "too long", wants: entryError},
		{name: "name of control characters", entries: []entry{file("a\nb\x1b[2J", "x")}, lists: "a\nb\x1b[2J=x"},
		{name: "name that is not UTF-8", raw: func(t *testing.T, prefix string) []byte {
			return summed(bytes.ReplaceAll(bare(t, file(prefix+"xyz", "x")), []byte("xyz"), []byte("x\xffz")))
		}, lists: "x\xffz=x"},
		{name: "NUL in a name", raw: func(t *testing.T, prefix string) []byte {
			packed := archive(t, file(prefix+longest+"XYZ", ""))
			return bytes.ReplaceAll(packed, []byte("XYZ\n"), []byte("X\x00Z\n"))
		}, refused: "malformed", wants: formatError},

		{name: "file twice", entries: []entry{file("a", "first"), file("a", "second")}, lists: "a=second"},
		{name: "file, link, file", entries: []entry{file("a", "x"), symlink("a", "b"), file("a", "y")}, lists: "a=y"},
		{name: "file, directory, file", entries: []entry{file("a", "x"), folder("a"), file("a/b", ""), file("a", "y")}, lists: "a=y"},
		{name: "directory twice", entries: []entry{folder("a"), file("a/b", "x"), folder("a")}, lists: "a/ a/b=x"},
		{name: "hard link twice", entries: []entry{file("a", "x"), hardlink("b", "a"), hardlink("b", "a")}, lists: "a=x b=x"},
		{name: "target replaced between links", entries: []entry{file("a", "x"), hardlink("b", "a"), file("a", "y"), hardlink("c", "a")}, lists: "a=y b=x c=y"},
		{name: "same path spelled differently", entries: []entry{file("d/a", "x"), file("d//./a", "y")}, lists: "d/ d/a=y"},

		{name: "large extended header", raw: func(*testing.T, string) []byte { return header('x', "PaxHeaders.0/x", 2<<20) }, refused: "malformed", wants: formatError},
		{name: "extended header of many records", entries: []entry{file("x", "y").with(func(h *tar.Header) { h.PAXRecords = numbered("VENDOR.", 20000) })}, lists: "x=y"},
		{name: "long name in the old GNU format", raw: func(*testing.T, string) []byte { return header('L', "././@LongLink", 2<<20) }, refused: "malformed", wants: formatError},

		{name: "negative size", raw: sized("-0000000001\x00"), refused: "malformed", wants: formatError},
		{name: "negative binary size", raw: sized(strings.Repeat("\xff", 12)), refused: "malformed", wants: formatError},
		{name: "size beyond the end of the archive", raw: sized("77777777777\x00"), refused: "unexpected EOF", wants: formatError},
		{name: "size beyond any disk", raw: sized(binarySize(1 << 62)), refused: "FileBytes", wants: limitError},
		{name: "sparse file beyond any disk", raw: func(t *testing.T, prefix string) []byte { return sparseArchive(t, prefix+"hole", 1<<62) }, refused: "FileBytes", wants: limitError},
		{name: "sparse file of negative size", raw: func(t *testing.T, prefix string) []byte { return sparseArchive(t, prefix+"hole", -1) }, refused: "malformed", wants: formatError},

		{name: "time before 1970", raw: modified(timed, "-1"), lists: "x="},
		{name: "time in the far future", raw: modified(timed, "9999999999999999"), lists: "x="},
		{name: "time of too many digits", raw: modified(timed, strings.Repeat("9", 40)), refused: "malformed", wants: formatError},
		{name: "time that is not a number", raw: modified(timed, "yesterday"), refused: "malformed", wants: formatError},

		{name: "user attributes of a symbolic link and a fifo", entries: []entry{symlink("l", "x").xattr("user.a", "b"), device(tar.TypeFifo, "p", 0, 0).xattr("user.a", "b")}, lists: "l->x p|"},
		{name: "attributes of an unknown namespace", entries: []entry{file("x", "").xattr("nonsense", "v"), file("y", "").xattr("nonsense.a", "v")}, lists: "x= y="},
		{name: "attributes of the namespace trusted", entries: []entry{file("x", "").xattr("trusted.overlay.opaque", "y")}, lists: "x="},
		{name: "attribute without a name", entries: []entry{file("x", "").xattr("user.", "v")}, refused: `x"`, wants: entryError},
		{name: "attribute too large", entries: []entry{file("x", "").xattr("user.a", strings.Repeat("v", 1<<17))}, refused: "too large", wants: entryError},

		{name: "device with a malformed number", raw: func(_ *testing.T, prefix string) []byte {
			packed := append(header(tar.TypeChar, prefix+"d", 0), make([]byte, 1024)...)
			copy(packed[329:], "\xff\xff\xff\xff\xff\xff\xff\xff")
			return summed(packed)
		}, refused: `d"`, wants: entryError},
		{name: "device over a directory", entries: []entry{file("d/x", ""), device(tar.TypeFifo, "d", 0, 0)}, lists: "d|"},
		{name: "unknown type", entries: []entry{{tar.Header{Typeflag: 'Z', Name: "x"}, ""}}, refused: "unknown entry type", wants: entryError},
	}
}

// bare packs an entry in the oldest format, which has no extended headers.
func bare(t *testing.T, e entry) []byte {
	t.Helper()
	return append(header(tar.TypeReg, e.Name, len(e.content)), append([]byte(e.content), make([]byte, 512-len(e.content)+1024)...)...)
}

// header returns a ustar header.
func header(kind byte, name string, size int) []byte {
	h := make([]byte, 512)
	copy(h, name)
	copy(h[100:], "0000644\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00", size))
	h[156] = kind
	copy(h[257:], "ustar\x0000")
	return summed(h)
}

// summed gives the first header of an archive its checksum.
func summed(packed []byte) []byte {
	copy(packed[148:], "        ")
	sum := 0
	for _, b := range packed[:512] {
		sum += int(b)
	}
	copy(packed[148:], fmt.Sprintf("%06o\x00 ", sum))
	return packed
}

// sized returns a form that packs a file with the given size field.
func sized(field string) func(*testing.T, string) []byte {
	return func(t *testing.T, prefix string) []byte {
		packed := bare(t, file(prefix+"x", "content"))
		copy(packed[124:136], field)
		return summed(packed)
	}
}

// binarySize encodes a size as GNU tar does for large files.
func binarySize(size uint64) string {
	field := make([]byte, 12)
	field[0] = 0x80
	binary.BigEndian.PutUint64(field[4:], size)
	return string(field)
}

// modified returns a form that packs a file with a time that archive/tar refuses
// to write.
func modified(timed func(string) entry, record string) func(*testing.T, string) []byte {
	return func(t *testing.T, prefix string) []byte {
		e := timed(record)
		e.Name = prefix + e.Name
		e.ModTime = then.Truncate(1e9)
		// Replace the record by one of the same length.
		digits, negative := strings.CutPrefix(record, "-")
		padded := strings.Repeat("0", len("VENDOR.")) + digits
		if negative {
			padded = "-" + padded
		}
		return bytes.ReplaceAll(archive(t, e), []byte("VENDOR.mtime="+record), []byte("mtime="+padded))
	}
}

func numbered(prefix string, n int) map[string]string {
	records := make(map[string]string, n)
	for i := range n {
		records[fmt.Sprintf("%s%d", prefix, i)] = "x"
	}
	return records
}

// Attributes that exceed the file system's limit are reported as the archive's
// fault, and not as a full disk.
func TestAttributesBeyondTheFileSystem(t *testing.T) {
	p := newPlayground(t)
	records := map[string]string{}
	for i := range 400 {
		records[fmt.Sprintf("%suser.%d", xattrRecordName, i)] = strings.Repeat("v", 1000)
	}
	err := p.apply(t, Limits{}, archive(t, file("x", "").with(func(h *tar.Header) { h.PAXRecords = records })))
	p.checkUntouched(t)
	if err != nil { // ext4 has one block for attributes, xfs has no such limit
		var refused *EntryError
		assert.Assert(t, errors.As(err, &refused), "%v", err)
		assert.Equal(t, refused.Entry, "x")
	}

	full := t.TempDir()
	assert.NilError(t, unix.Mount("tmpfs", full, "tmpfs", 0, "size=64k,nr_inodes=4"))
	t.Cleanup(func() { assert.Check(t, unix.Unmount(full, unix.MNT_DETACH)) })
	u, err := NewUnpacker(full, Limits{})
	assert.NilError(t, err)
	defer u.Close()
	many := []entry{file("a", ""), file("b", ""), file("c", ""), file("d", "").xattr("user.a", "b"), file("e", "")}
	_, err = u.applyPlain(t.Context(), bytes.NewReader(archive(t, many...)))
	assert.Check(t, errdefs.IsSystem(err), "%v", err)
}

// Devices, fifos and set-id bits are unpacked as the archive has them, like
// docker does.
func TestPrivilegedEntriesAreKept(t *testing.T) {
	entries := []entry{
		device(tar.TypeChar, "null", 1, 3), device(tar.TypeBlock, "disk", 8, 1), device(tar.TypeFifo, "pipe", 0, 0),
		file("su", "").mode(0o6755), folder("tmp").mode(0o1777), folder("shared").mode(0o2775),
	}
	layer, split := newPlayground(t), newPlayground(t)
	assert.NilError(t, layer.apply(t, Limits{}, archive(t, entries...)))
	_, _, err := split.split(t, buildContext(t, entries...), Limits{})
	assert.NilError(t, err)
	for _, root := range []string{layer.root, split.root} {
		for name, want := range map[string]os.FileMode{
			"null":   os.ModeDevice | os.ModeCharDevice | 0o600,
			"disk":   os.ModeDevice | 0o600,
			"pipe":   os.ModeNamedPipe | 0o600,
			"su":     os.ModeSetuid | os.ModeSetgid | 0o755,
			"tmp":    os.ModeDir | os.ModeSticky | 0o777,
			"shared": os.ModeDir | os.ModeSetgid | 0o775,
		} {
			info, err := os.Lstat(filepath.Join(root, name))
			assert.NilError(t, err)
			assert.Equal(t, info.Mode(), want, name)
		}
	}
}
