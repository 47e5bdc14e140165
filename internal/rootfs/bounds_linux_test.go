// SPDX-License-Identifier: Apache-2.0

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
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// winding returns a link target of nearly 4095 bytes that resolves to its own
// directory.
func winding(dir string) string { return strings.Repeat(dir+"/../", 4090/(len(dir)+4)) }

// Limits bound the memory that headers take and the time that names take.
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
		limit  string // the exceeded limit; empty if there is none
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

// The memory kept for directories is freed at the end of their layer.
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
	assert.Check(t, is.ErrorContains(err, `"l0/f": path resolves through too many`))
}

// A name of many components takes few descriptors, whether the components exist,
// are missing, or lie behind a link.
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

// last is a reader that calls cancel before it returns io.EOF.
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

// Unpacking stops at the end of its context also after the whole archive was
// read, when much work can be left.
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
			_, err = u.applyPlain(ctx, &last{bytes.NewReader(packed), len(packed), func() { cancel(cause) }})
			assert.Check(t, is.ErrorIs(err, cause))
		})
	}
}

// The zeros of a sparse file become holes, and count for the compression ratio, in
// both formats of GNU tar and on both ways in.
func TestSparseFiles(t *testing.T) {
	const size = 100 << 20
	for _, format := range []struct {
		name  string
		entry func(name string) []byte
	}{
		{"PAX", func(name string) []byte { return bytes.TrimSuffix(sparseArchive(t, name, size), make([]byte, 1024)) }},
		{"old", func(name string) []byte { return oldSparseEntry(name, size) }},
	} {
		for _, way := range []struct {
			name  string
			apply func(p *playground, limits Limits) error
		}{
			{"layer", func(p *playground, limits Limits) error {
				return p.apply(t, limits, append(format.entry("hole"), archive(t)...))
			}},
			{"build context", func(p *playground, limits Limits) error {
				_, _, err := p.split(t, append(format.entry("rootfs/hole"), buildContext(t)...), limits)
				return err
			}},
		} {
			t.Run(format.name+" in a "+way.name, func(t *testing.T) {
				p := newPlayground(t)
				assert.NilError(t, way.apply(p, Limits{}))
				var stat unix.Stat_t
				assert.NilError(t, unix.Stat(filepath.Join(p.root, "hole"), &stat))
				assert.Equal(t, stat.Size, int64(size))
				assert.Check(t, stat.Blocks < 100, "%d blocks", stat.Blocks)

				checkRatio(t, way.apply(newPlayground(t), Limits{UnpackedBytes: 256 << 20}))
			})
		}
	}
}

func TestSparseFilesOfStoredLayers(t *testing.T) {
	layer := sparseArchive(t, "hole", 100<<20)
	u, err := NewUnpacker(newPlayground(t).root, Limits{UnpackedBytes: 256 << 20})
	assert.NilError(t, err)
	defer u.Close()
	checkRatio(t, u.ApplyAll(t.Context(), []Source{stored(gzipped(t, layer)), stored(layer)}, func(int, Layer) error { return nil }))
}

// checkRatio checks that err is a LimitError of the compression ratio.
func checkRatio(t *testing.T, err error) {
	t.Helper()
	var limit *LimitError
	assert.Assert(t, errors.As(err, &limit), "%v", err)
	assert.Equal(t, limit.Limit, "CompressionRatio")
}

// A fragment of a sparse file takes no more disk space than the blocks that it
// touches, and the whole file counts for the compression ratio.
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

// leadingHoles and leadingData distinguish blocks of zeros from data at any
// alignment.
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
		"type":   {tar.Header{Typeflag: '7', Name: long}, ""},
	} {
		err := p.apply(t, Limits{}, archive(t, e))
		assert.Check(t, err != nil, name)
		assert.Check(t, len(fmt.Sprint(err)) < 2000, "%s: %d bytes", name, len(fmt.Sprint(err)))
	}
	err := p.apply(t, Limits{Entries: 1}, archive(t, file("a", ""), file(long, "")))
	assert.Check(t, len(fmt.Sprint(err)) < 2000)
}

// Entries that compress to almost nothing are refused, whatever recurs in them.
// The same entries are accepted if they are few, or stored without compression.
func TestRatioOfEntries(t *testing.T) {
	const count = 1500
	again := func(period ...entry) []byte { return archive(t, slices.Repeat(period, count/len(period))...) }
	full := make([]entry, 0, 100)
	for i := range cap(full) - 1 {
		full = append(full, file(fmt.Sprint("d/", i), ""))
	}
	tests := []struct {
		name  string
		layer []byte
	}{
		{"file", again(file("f", ""))},
		{"symbolic link", again(symlink("l", "f"))},
		{"hard link", archive(t, append([]entry{file("f", "")}, slices.Repeat([]entry{hardlink("l", "f")}, count)...)...)},
		{"device", again(device(tar.TypeFifo, "p", 0, 0))},
		{"directory", again(folder("d"))},
		{"file and directory", again(file("d", ""), folder("d"))},
		{"file and whiteout", again(file("f", ""), file(".wh.f", ""))},
		{"full directory and whiteout", again(append(full, file(".wh.d", ""))...)},
	}
	tight := Limits{Entries: 4 << 10}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			packed := zstandard(t, test.layer)
			err := newPlayground(t).applyAll(t, tight, []Source{stored(packed)}, nothing)
			var limit *LimitError
			assert.Assert(t, errors.As(err, &limit), "%v", err)
			assert.Equal(t, limit.Limit, "EntryRatio")
			assert.Check(t, limit.Entry != "")
			checkInvalid(t, err)
			for name, allowed := range map[string]struct {
				limits Limits
				layer  []byte
			}{
				"few":   {Limits{}, packed},
				"ratio": {Limits{Entries: tight.Entries, EntryRatio: 64 << 10}, packed},
				"plain": {tight, test.layer},
			} {
				assert.NilError(t, newPlayground(t).applyAll(t, allowed.limits, []Source{stored(allowed.layer)}, nothing), name)
			}
		})
	}
}

// The ratio of entries is that of all layers and directories together, because a
// manifest can name one layer a thousand times.
func TestRatioOfEntriesOfManyLayers(t *testing.T) {
	layer := slices.Repeat([]entry{file("f", "")}, 100)
	sources := slices.Repeat([]Source{stored(zstandard(t, archive(t, layer...)))}, 20)
	var limit *LimitError
	err := newPlayground(t).applyAll(t, Limits{Entries: 4 << 10}, sources, nothing)
	assert.Assert(t, errors.As(err, &limit), "%v", err)
	assert.Equal(t, limit.Limit, "EntryRatio")
}

// A layer that recurs adds entries, and its compressed bytes only once.
func TestRatioOfEntriesOfALayerThatRecurs(t *testing.T) {
	random := newRandom(1)
	padded := func() Source {
		padding := file("padding", text(random, 2<<10))
		return stored(zstandard(t, archive(t, append(slices.Repeat([]entry{file("f", "")}, 99), padding)...)))
	}
	again, others := slices.Repeat([]Source{padded()}, 20), make([]Source, 20)
	for i := range others {
		others[i] = padded()
	}
	var limit *LimitError
	err := newPlayground(t).applyAll(t, Limits{Entries: 4 << 10}, again, nothing)
	assert.Assert(t, errors.As(err, &limit), "%v", err)
	assert.Equal(t, limit.Limit, "EntryRatio")
	assert.NilError(t, newPlayground(t).applyAll(t, Limits{Entries: 4 << 10}, others, nothing))
}

// The compression ratio holds for all layers together, a layer that recurs included.
// Layers before a layer that compresses well count.
func TestRatioOfManyLayers(t *testing.T) {
	const floor = 1 << 20
	limits := Limits{UnpackedBytes: ratioFloorShare * floor}
	zeros := stored(zstandard(t, archive(t, file("zeros", string(make([]byte, floor/2))))))
	noise := stored(gzipped(t, archive(t, file("noise", text(newRandom(1), 3*floor)))))
	apply := func(layers ...Source) error { return newPlayground(t).applyAll(t, limits, layers, nothing) }
	var limit *LimitError
	err := apply(zeros, zeros, zeros)
	assert.Assert(t, errors.As(err, &limit), "%v", err)
	assert.Equal(t, limit.Limit, "CompressionRatio")
	assert.NilError(t, apply(zeros))
	assert.NilError(t, apply(noise, zeros, zeros, zeros, noise))
	assert.NilError(t, apply(zeros, noise, zeros))
}

// A closed decompressor keeps no memory: those of a plugin's layers can stay
// referenced until the last layer is unpacked.
func TestClosedDecompressor(t *testing.T) {
	plain := archive(t, file("f", "content"))
	for _, packed := range [][]byte{plain, gzipped(t, plain), zstandard(t, plain)} {
		d, err := Decompress(t.Context(), bytes.NewReader(packed), Limits{})
		assert.NilError(t, err)
		d.Close()
		d.Close() // once more does no harm
		_, err = d.Read(make([]byte, 1))
		assert.ErrorIs(t, err, os.ErrClosed)
	}
}

func nothing(int, Layer) error { return nil }

// Files with ordinary metadata are far from the ratio, however small they are.
func TestRatioOfSmallFiles(t *testing.T) {
	random := newRandom(1)
	var layer []entry
	for i := range 1000 {
		layer = append(layer, file(fmt.Sprintf("d/%04d", i), text(random, 8)).with(func(h *tar.Header) {
			h.ModTime = time.Unix(1_700_000_000+random.Int64N(1<<24), 0)
		}))
	}
	packed := zstandard(t, archive(t, layer...), zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	t.Logf("%d bytes an entry", len(packed)/len(layer))
	assert.NilError(t, newPlayground(t).applyAll(t, Limits{Entries: 1200}, []Source{stored(packed)}, nothing))
}
