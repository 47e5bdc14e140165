package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// winding is a link's target of nearly 4095 bytes that leads nowhere else.
func winding(dir string) string { return strings.Repeat(dir+"/../", 4090/(len(dir)+4)) }

// What headers cost in memory and what names cost in time is counted.
func TestCostsOfHeadersAndNames(t *testing.T) {
	comment := strings.Repeat("c", 100<<10)
	var attributed, scattered, nested []entry
	for i := range 100 {
		attributed = append(attributed, file(fmt.Sprint("f", i), "").with(func(h *tar.Header) {
			h.PAXRecords = map[string]string{"comment": comment}
		}))
		scattered = append(scattered, folder(fmt.Sprint(strings.Repeat("x", 200), i)))
		nested = append(nested, file(strings.Repeat("d/", 1000)+fmt.Sprintf("%d/f", i), ""))
	}
	attributes, records := map[string]string{}, map[string]string{}
	for i := range 100 {
		attributes[fmt.Sprintf("SCHILY.xattr.trusted.%d", i)] = "v"
		records[fmt.Sprintf("vendor.%d", i)] = strings.Repeat("v", 32)
	}
	var many, unknown []entry
	for range 100 {
		many = append(many, file("f", "").with(func(h *tar.Header) { h.PAXRecords = attributes }))
		unknown = append(unknown, file("f", "").with(func(h *tar.Header) { h.PAXRecords = records }))
	}
	wound := []entry{folder("d"), symlink("l", winding("d"))}
	for i := range 40 {
		wound = append(wound, file(fmt.Sprintf("l/%d/f", i), ""))
	}
	tests := []struct {
		name   string
		limits Limits
		layer  []entry
		limit  string // empty if it is no more than the limits allow
	}{
		{"large headers", Limits{HeaderBytes: 1 << 20}, attributed, "HeaderBytes"},
		{"large headers, allowed", Limits{}, attributed, ""},
		{"names of directories", Limits{HeaderBytes: 1 << 10}, scattered, "HeaderBytes"},
		{"names of directories that are alike", Limits{HeaderBytes: 4 << 10}, scattered, ""},
		{"deep names", Limits{PathSteps: 50000}, nested, "PathSteps"},
		{"deep names, allowed", Limits{}, nested, ""},
		{"attributes", Limits{PathSteps: attributeSteps * 5000}, many, "PathSteps"},
		{"attributes, allowed", Limits{PathSteps: 2 * attributeSteps * 100 * 100}, many, ""},
		{"records of unknown keys", Limits{PathSteps: 5000}, unknown, "PathSteps"},
		{"records of unknown keys, allowed", Limits{}, unknown, ""},
		{"names through links", Limits{PathSteps: 50000}, wound, "PathSteps"},
		{"names through links, allowed", Limits{}, wound, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayground(t)
			err := p.apply(t, test.limits, archive(t, test.layer...))
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

// What is remembered of directories is freed with their layer.
func TestDirectoriesAreRememberedForOneLayer(t *testing.T) {
	var layer []entry
	for i := range 100 {
		layer = append(layer, folder(fmt.Sprint("d", i)))
	}
	packed := archive(t, layer...)
	p := newPlayground(t)
	assert.NilError(t, p.apply(t, Limits{HeaderBytes: 4 << 10}, packed, packed, packed, packed))
}

func TestWindingName(t *testing.T) {
	p := newPlayground(t)
	chain := []entry{folder("d")}
	for i := range maxLinks - 1 {
		chain = append(chain, symlink(fmt.Sprint("l", i), winding("d")+fmt.Sprint("l", i+1)))
	}
	chain = append(chain, symlink(fmt.Sprint("l", maxLinks-1), "d"), file("l0/f", ""))
	err := p.apply(t, Limits{}, archive(t, chain...))
	var refused *EntryError
	assert.Assert(t, errors.As(err, &refused), "%v", err)
	assert.Check(t, is.ErrorContains(err, `"l0/f": its path leads through too many parts`))
}

// A name of many parts takes few descriptors, whether they are there, missing,
// or behind a link.
func TestNamesOfManyParts(t *testing.T) {
	p := newPlayground(t)
	deep := strings.Repeat("d/", 1500)
	layer := archive(t, file(deep+"a", ""), symlink("l", deep), file("l/b", ""), file("l/"+strings.Repeat("e/", 200)+"c", ""))
	var before unix.Rlimit
	assert.NilError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	few := before
	few.Cur = uint64(openFiles(t)) + 20
	assert.NilError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &few))
	defer func() { assert.NilError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before)) }()
	assert.NilError(t, p.apply(t, Limits{}, layer, archive(t, file(".wh.d", ""))))
	entries, err := os.ReadDir(p.root)
	assert.NilError(t, err)
	assert.Equal(t, len(entries), 1)
}

// last cancels before it returns the end of what it reads.
type last struct {
	io.Reader
	left   int
	cancel func()
}

func (l *last) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if l.left -= n; l.left <= 0 {
		l.cancel()
	}
	return n, err
}

// Unpacking ends with its context also when all of the archive was read: it
// would take long to work off.
func TestUnpackingEndsWithItsContext(t *testing.T) {
	cause := errors.New("user gave up")
	var many, folders []entry
	for i := range 500 {
		many = append(many, file(fmt.Sprint("f", i), ""))
		folders = append(folders, folder(fmt.Sprint("d", i)))
	}
	hidden := []entry{file(".wh..wh..opq", "")}
	tests := []struct {
		name  string
		lower []entry
		layer []entry
	}{
		{"files", nil, many},
		{"directories", nil, folders},
		{"opaque mark", many, hidden},
		{"whiteout", below("d", many), []entry{file(".wh.d", "")}},
		{"empty", nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayground(t)
			assert.NilError(t, p.apply(t, Limits{}, archive(t, test.lower...)))
			u, err := NewUnpacker(p.root, Limits{})
			assert.NilError(t, err)
			defer u.Close()
			ctx, cancel := context.WithCancelCause(t.Context())
			packed := archive(t, test.layer...)
			_, err = u.Apply(ctx, &last{bytes.NewReader(packed), len(packed), func() { cancel(cause) }})
			assert.Check(t, is.ErrorIs(err, cause))
		})
	}
}

// The zeros of a sparse file are holes, and are counted among what the bytes of
// an archive become.
func TestSparseFiles(t *testing.T) {
	p := newPlayground(t)
	assert.NilError(t, p.apply(t, Limits{}, sparseArchive(t, "hole", 100<<20)))
	var stat unix.Stat_t
	assert.NilError(t, unix.Stat(filepath.Join(p.root, "hole"), &stat))
	assert.Equal(t, stat.Size, int64(100<<20))
	assert.Check(t, stat.Blocks < 100, "%d blocks", stat.Blocks)

	tight := Limits{UnpackedBytes: 256 << 20}
	layer := sparseArchive(t, "hole", 100<<20)
	err := p.apply(t, tight, layer)
	var limit *LimitError
	assert.Assert(t, errors.As(err, &limit), "%v", err)
	assert.Equal(t, limit.Limit, "CompressionRatio")

	u, err := NewUnpacker(newPlayground(t).root, tight)
	assert.NilError(t, err)
	defer u.Close()
	err = u.ApplyAll(t.Context(), []Source{stored(gzipped(t, layer)), stored(layer)}, func(int, Layer) error { return nil })
	assert.Assert(t, errors.As(err, &limit), "%v", err)
	assert.Equal(t, limit.Limit, "CompressionRatio")
}

// A fragment of a sparse file takes no more of the disk than the blocks that it
// lies in, and the file counts as a whole, whatever of it is data.
func TestFragmentsOfSparseFiles(t *testing.T) {
	const fragments, apart = 800, 128 << 10
	layer := fragmentedArchive(t, "f", fragments, apart)
	p := newPlayground(t)
	assert.NilError(t, p.apply(t, Limits{}, layer))
	var stat unix.Stat_t
	assert.NilError(t, unix.Stat(filepath.Join(p.root, "f"), &stat))
	assert.Equal(t, stat.Size, int64((fragments-1)*apart+1))
	assert.Check(t, stat.Blocks*512 <= 2*fragments*holeBytes, "%d blocks", stat.Blocks)
	content, err := os.ReadFile(filepath.Join(p.root, "f"))
	assert.NilError(t, err)
	for i := range fragments {
		assert.Equal(t, content[i*apart], byte('x'), "fragment %d", i)
		content[i*apart] = 0
	}
	assert.Check(t, isZero(content))

	for _, apart := range []int{holeBytes, 5000, 128 << 10} {
		u, err := NewUnpacker(newPlayground(t).root, Limits{UnpackedBytes: 512 << 20})
		assert.NilError(t, err)
		layer := fragmentedArchive(t, "f", (64<<20)/apart, apart)
		err = u.ApplyAll(t.Context(), []Source{stored(gzipped(t, layer))}, func(int, Layer) error { return nil })
		var limit *LimitError
		assert.Assert(t, errors.As(err, &limit), "%d apart: %v", apart, err)
		assert.Equal(t, limit.Limit, "CompressionRatio")
		u.Close()
	}
}

// Blocks of zeros that begin and end anywhere are told from data.
func TestHolesOfParts(t *testing.T) {
	zeros := func(n int) []byte { return make([]byte, n) }
	data := func(n int) []byte { return bytes.Repeat([]byte("x"), n) }
	for _, test := range []struct {
		name         string
		part         []byte
		offset       int64
		holes, after int
	}{
		{"nothing", nil, 0, 0, 0},
		{"zeros", zeros(3 * holeBytes), 0, 3 * holeBytes, 0},
		{"less than a block", zeros(10), 5, 10, 0},
		{"data", data(3 * holeBytes), 0, 0, 3 * holeBytes},
		{"data in the second block", append(zeros(holeBytes+1), 'x'), 0, holeBytes, 2},
		{"from the middle of a block", append(zeros(100), 'x'), holeBytes - 100, 100, 1},
		{"data up to zeros", append(append(zeros(10), 'x'), zeros(2*holeBytes)...), 0, 0, holeBytes},
	} {
		t.Run(test.name, func(t *testing.T) {
			holes := leadingHoles(test.part, test.offset)
			assert.Equal(t, holes, test.holes)
			assert.Equal(t, leadingData(test.part[holes:], test.offset+int64(holes)), test.after)
		})
	}
}

func TestErrorsAreShort(t *testing.T) {
	long := strings.Repeat("n\x01", 300<<10)
	p := newPlayground(t)
	for name, e := range map[string]entry{
		"entry":  file(long, ""),
		"target": hardlink("x", long),
		"type":   entry{tar.Header{Typeflag: '7', Name: long}, ""},
	} {
		err := p.apply(t, Limits{}, archive(t, e))
		assert.Check(t, err != nil, name)
		assert.Check(t, len(fmt.Sprint(err)) < 2000, "%s: %d bytes", name, len(fmt.Sprint(err)))
	}
	err := p.apply(t, Limits{Entries: 1}, archive(t, file("a", ""), file(long, "")))
	assert.Check(t, len(fmt.Sprint(err)) < 2000)
}
