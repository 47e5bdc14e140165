// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/members"
)

func stored(layer []byte) Source {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer)), nil }
}

func (p *playground) applyAll(t testing.TB, limits Limits, sources []Source, applied func(int, Layer) error) error {
	t.Helper()
	u, err := NewUnpacker(p.root, limits)
	assert.NilError(t, err)
	defer u.Close()
	return u.ApplyAll(t.Context(), sources, applied)
}

// TestApplyAll compares ApplyAll with one layer after the other: the trees, and the
// errors of stacks that can't be unpacked, whatever the compression of the layers, the
// order in which they arrive, and the memory and cores for layers ahead.
func TestApplyAll(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for round := range 12 {
		t.Logf("go test -run %s -seed %d", t.Name(), *seed+uint64(round))
		g := newGenerator(*seed + uint64(round))
		var plain, packed [][]byte
		for i := range 1 + g.random.IntN(7) {
			layer := archive(t, g.layer()...)
			if g.random.IntN(10) == 0 {
				layer = layer[:g.random.IntN(len(layer))]
			}
			plain = append(plain, layer)
			packed = append(packed, [][]byte{layer, gzipped(t, layer), zstandard(t, layer), inMembers(t, layer)}[i%4])
		}
		apart := newPlayground(t)
		apartErr := apart.apply(t, Limits{}, plain...)
		for _, cores := range []int{1, 2, 8} {
			runtime.GOMAXPROCS(cores)
			for _, memory := range []int64{0, 2000, aheadMemoryBytes} {
				limits := Limits{Budget: NewBudget()}
				assert.Check(t, limits.Budget.memory.TryAcquire(aheadMemoryBytes-memory))
				together := newPlayground(t)
				var seen []digest.Digest
				sources := make([]Source, len(packed))
				for i, layer := range packed {
					sources[i] = stored(layer)
				}
				if memory == aheadMemoryBytes { // others wait for their turn in the middle
					sources = shuffled(g.random, packed, cores)
				}
				err := together.applyAll(t, limits, sources, func(i int, layer Layer) error {
					assert.Equal(t, i, len(seen))
					assert.Equal(t, layer, Layer{DiffID: digest.FromBytes(plain[i]), Bytes: int64(len(plain[i]))})
					seen = append(seen, layer.DiffID)
					return nil
				})
				assert.Equal(t, errorText(err), errorText(apartErr))
				assert.Check(t, limits.Budget.memory.TryAcquire(memory), "memory was not released")
				if err == nil {
					assert.DeepEqual(t, snapshot(t, together.root), snapshot(t, apart.root))
					together.checkUntouched(t)
				}
			}
		}
	}
}

// inMembers compresses a layer as those are that this package makes.
func inMembers(t testing.TB, layer []byte) []byte {
	t.Helper()
	var stream bytes.Buffer
	w := members.NewWriter(&stream, 2)
	_, err := w.Write(layer)
	assert.NilError(t, err)
	assert.NilError(t, w.Close())
	return stream.Bytes()
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	// Layers that were compressed have no end other than that of the archive.
	return strings.Replace(err.Error(), "read archive: ", "", 1)
}

// shuffled returns sources of layers that open one after the other in a random order,
// as far as cores open them at all: a layer waits for at most cores-1 later ones.
func shuffled(random *rand.Rand, layers [][]byte, cores int) []Source {
	sources := make([]Source, len(layers))
	for i := 0; i < len(layers); i += cores {
		group := layers[i:min(len(layers), i+cores)]
		turns := make([]chan struct{}, len(group)+1)
		for turn := range turns {
			turns[turn] = make(chan struct{})
		}
		close(turns[0])
		for turn, j := range random.Perm(len(group)) {
			sources[i+j] = func(ctx context.Context) (io.ReadCloser, error) {
				select {
				case <-turns[turn]:
				case <-ctx.Done():
					return nil, context.Cause(ctx)
				}
				return &atEnd{bytes.NewReader(group[j]), sync.OnceFunc(func() { close(turns[turn+1]) })}, nil
			}
		}
	}
	return sources
}

// atEnd calls a function when it is closed, or was read to its end.
type atEnd struct {
	io.Reader
	end func()
}

func (a *atEnd) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if err != nil {
		a.end()
	}
	return n, err
}

func (a *atEnd) Close() error {
	a.end()
	return nil
}

func TestApplyAllFailures(t *testing.T) {
	cut, refused := errors.New("connection cut"), errors.New("not what the config says")
	sound := gzipped(t, archive(t, file("a", text(newRandom(1), 400<<10))))
	hostile := archive(t, hardlink("x", "nowhere"))
	tests := []struct {
		name   string
		third  Source
		refuse int // index of the layer for which applied returns an error
		want   string
	}{
		{"not there", func(context.Context) (io.ReadCloser, error) { return nil, cut }, -1, "read archive: connection cut"},
		{"cut at once", readingInstead(failing{cut}), -1, "read archive: connection cut"},
		{"cut", readingInstead(io.MultiReader(bytes.NewReader(sound[:len(sound)/2]), failing{cut})), -1, "read archive: connection cut"},
		{"cut after the archive", readingInstead(io.MultiReader(bytes.NewReader(archive(t)), failing{cut})), -1, "connection cut"},
		{"damaged", stored(sound[:len(sound)/2]), -1, "archive is malformed: unexpected EOF"},
		{"hostile", stored(hostile), -1, `"x": hard link`},
		{"refused", stored(sound), 1, "not what the config says"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayground(t)
			before := openFiles(t)
			synctest.Test(t, func(t *testing.T) {
				err := p.applyAll(t, Limits{}, []Source{stored(sound), stored(sound), test.third, stored(sound), stored(sound)}, func(i int, _ Layer) error {
					assert.Check(t, i < 2)
					if i == test.refuse {
						return refused
					}
					return nil
				})
				assert.Check(t, is.ErrorContains(err, test.want))
			})
			assert.Equal(t, openFiles(t), before)
		})
	}
}

// TestBytesAfterTheArchive unpacks layers with bytes that can't be decompressed after
// the end of the archive, at their turn and before. An archive without its end mark is
// refused with such bytes, and so is a layer with the wrong digest.
func TestBytesAfterTheArchive(t *testing.T) {
	wrong := errors.New("the digest is wrong")
	whole := archive(t, file("a", text(newRandom(1), 400<<10)))
	noEnd := whole[:len(whole)-1024]
	for name, pack := range map[string]func(testing.TB, []byte) []byte{
		"gzip":    gzipped,
		"zstd":    func(t testing.TB, plain []byte) []byte { return zstandard(t, plain) },
		"members": inMembers,
	} {
		for _, trailing := range []string{"\n", "garbage that is longer than a header", strings.Repeat("\x00", 1000)} {
			t.Run(name, func(t *testing.T) {
				apply := func(layer []byte, end error) error {
					layer = append(layer, trailing...)
					source := func(context.Context) (io.ReadCloser, error) {
						return io.NopCloser(io.MultiReader(bytes.NewReader(layer), failing{end})), nil
					}
					return newPlayground(t).applyAll(t, Limits{}, []Source{source, source}, func(_ int, layer Layer) error {
						assert.Equal(t, layer, Layer{DiffID: digest.FromBytes(whole), Bytes: int64(len(whole))})
						return nil
					})
				}
				assert.NilError(t, apply(pack(t, whole), io.EOF))
				checkInvalid(t, apply(pack(t, noEnd), io.EOF))
				assert.Check(t, is.ErrorIs(apply(pack(t, whole), wrong), wrong))
				assert.Check(t, is.ErrorIs(apply(pack(t, noEnd), wrong), wrong))
			})
		}
	}
}

func readingInstead(r io.Reader) Source {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(r), nil }
}

// ApplyAll returns when ctx ends, also while its sources block.
func TestApplyAllCancelled(t *testing.T) {
	p := newPlayground(t)
	why := errors.New("another layer failed")
	synctest.Test(t, func(t *testing.T) {
		u, err := NewUnpacker(p.root, Limits{})
		assert.NilError(t, err)
		defer u.Close()
		ctx, cancel := context.WithCancelCause(t.Context())
		waiting := func(ctx context.Context) (io.ReadCloser, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		go func() {
			synctest.Wait()
			cancel(why)
		}()
		err = u.ApplyAll(ctx, []Source{stored(archive(t, file("a", "x"))), waiting, waiting}, func(int, Layer) error { return nil })
		assert.Check(t, is.ErrorIs(err, why))
	})
	assert.Equal(t, listing(t, p.root), "a=x")
}

// TestFilesAheadInheritAccessLists reads files of both kinds, in memory and in the pool,
// before their directory exists.
func TestFilesAheadInheritAccessLists(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	// Version 2: user rwx, user 1234 rwx, group r-x, mask rwx, others r-x.
	list := "\x02\x00\x00\x00" + "\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x07\x00\xd2\x04\x00\x00" +
		"\x04\x00\x05\x00\xff\xff\xff\xff" + "\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x05\x00\xff\xff\xff\xff"
	lower := archive(t, folder("d").xattr("system.posix_acl_default", list))
	upper := archive(t, file("d/large", strings.Repeat("x", 2*smallBytes)), file("d/small", "s"))
	apart, together := newPlayground(t), newPlayground(t)
	assert.NilError(t, apart.apply(t, Limits{}, lower, upper))
	ahead := make(chan struct{})
	sources := []Source{
		func(ctx context.Context) (io.ReadCloser, error) {
			<-ahead
			return stored(lower)(ctx)
		},
		func(context.Context) (io.ReadCloser, error) {
			return &atEnd{bytes.NewReader(upper), sync.OnceFunc(func() { close(ahead) })}, nil
		},
	}
	assert.NilError(t, together.applyAll(t, Limits{}, sources, func(int, Layer) error { return nil }))
	for _, p := range []*playground{apart, together} {
		for _, name := range []string{"d/large", "d/small"} {
			_, err := unix.Lgetxattr(filepath.Join(p.root, name), accessList, make([]byte, 100))
			assert.Check(t, err, "%s in %s", name, p.root)
		}
	}
	assert.DeepEqual(t, snapshot(t, together.root), snapshot(t, apart.root))
}

// TestApplyAllIsBounded holds the first of several layers with many entries. The
// others stay within the memory that all unpackers of a budget share, and
// every unpacker completes.
func TestApplyAllIsBounded(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	var entries []entry
	for i := range 12_000 {
		entries = append(entries, file(fmt.Sprint(i), ""))
	}
	many := archive(t, entries...)
	roots := []string{newPlayground(t).root, newPlayground(t).root}
	synctest.Test(t, func(t *testing.T) {
		limits := Limits{Budget: NewBudget()} // its channels must belong to this synctest bubble
		release := make(chan struct{})
		var inflated atomic.Int64
		done := make(chan error)
		for _, root := range roots {
			first := func(context.Context) (io.ReadCloser, error) {
				<-release
				return io.NopCloser(bytes.NewReader(archive(t))), nil
			}
			all := []Source{first}
			for range 3 {
				all = append(all, readingInstead(io.TeeReader(bytes.NewReader(many), addTo{&inflated})))
			}
			go func() {
				u, err := NewUnpacker(root, limits)
				assert.Check(t, err)
				defer u.Close()
				done <- u.ApplyAll(t.Context(), all, func(int, Layer) error { return nil })
			}()
		}
		synctest.Wait()
		archiveBytes := int64(len(many)) / int64(len(entries)) // of an entry
		buffered := int64(2*3) * (aheadBlocks + 2) * pumpBlockBytes
		ahead := inflated.Load()
		assert.Check(t, ahead > aheadMemoryBytes/(entryBytes+10)*archiveBytes, "only %d bytes ahead", ahead)
		assert.Check(t, ahead <= aheadMemoryBytes/entryBytes*archiveBytes+buffered, "%d bytes ahead", ahead)
		close(release)
		for range roots {
			assert.NilError(t, <-done)
		}
		assert.Equal(t, inflated.Load(), int64(2*3*len(many)))
		assert.Check(t, limits.Budget.memory.TryAcquire(aheadMemoryBytes), "memory was not released")
	})
}

// TestLayersAheadAreBounded holds the first of many layers, which are inflated at once.
func TestLayersAheadAreBounded(t *testing.T) {
	p, empty := newPlayground(t), archive(t)
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var opened atomic.Int64
		count := func(ctx context.Context) (io.ReadCloser, error) {
			opened.Add(1)
			return stored(empty)(ctx)
		}
		first := func(ctx context.Context) (io.ReadCloser, error) {
			<-release
			return count(ctx)
		}
		const layers = 10 * maxAhead
		done := make(chan error)
		go func() {
			done <- p.applyAll(t, Limits{Budget: NewBudget()}, append([]Source{first}, slices.Repeat([]Source{count}, layers-1)...), nothing)
		}()
		synctest.Wait()
		assert.Check(t, opened.Load() < maxAhead, "%d layers ahead", opened.Load())
		close(release)
		assert.NilError(t, <-done)
		assert.Equal(t, opened.Load(), int64(layers))
	})
}

// TestSlowArchivesDelayNoOther begins to unpack archives that never arrive: layers of
// all windows, and build contexts. Other layers are unpacked in that time.
func TestSlowArchivesDelayNoOther(t *testing.T) {
	plain := archive(t, file("f", text(newRandom(1), 1<<20)))
	ordinary, large := withWindow(t, plain, ordinaryWindowBytes), withWindow(t, plain, maxZstdWindowBytes)
	roots := make([]string, 60)
	for i := range roots {
		roots[i] = newPlayground(t).root
	}
	synctest.Test(t, func(t *testing.T) {
		limits := Limits{Budget: NewBudget()} // its channels must belong to this synctest bubble
		next := func() string {
			root := roots[0]
			roots = roots[1:]
			return root
		}
		unpack := func(ctx context.Context, source Source) error {
			u, err := NewUnpacker(next(), limits)
			assert.NilError(t, err)
			defer u.Close()
			return u.ApplyAll(ctx, []Source{source}, nothing)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var slow sync.WaitGroup
		begin := func(unpack func() error) {
			slow.Go(func() { assert.Check(t, is.ErrorIs(unpack(), context.Canceled)) })
			synctest.Wait()
		}
		for _, layer := range [][]byte{ordinary, large} {
			for range 20 {
				begin(func() error { return unpack(ctx, arriving(layer[:len(layer)/2])) })
			}
			directory := next()
			begin(func() error {
				context, _ := arriving(layer[:len(layer)/2])(ctx)
				_, err := Split(ctx, context, SplitOptions{Directory: directory, Layer: io.Discard, Limits: limits})
				return err
			})
		}
		for _, layer := range [][]byte{ordinary, large} {
			assert.NilError(t, unpack(t.Context(), stored(layer)))
		}
		cancel()
		slow.Wait()
	})
}

// arriving is a layer with a beginning that has arrived, and a rest that does not.
func arriving(start []byte) Source {
	return func(ctx context.Context) (io.ReadCloser, error) {
		rest, w := io.Pipe()
		context.AfterFunc(ctx, func() { w.CloseWithError(context.Cause(ctx)) })
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(start), rest), rest}, nil
	}
}

// withWindow compresses with a window, however short the archive is.
func withWindow(t *testing.T, plain []byte, bytes int) []byte {
	t.Helper()
	var packed strings.Builder
	w, err := zstd.NewWriter(&packed, zstd.WithWindowSize(bytes), zstd.WithEncoderConcurrency(1))
	assert.NilError(t, err)
	_, err = w.Write(plain)
	assert.NilError(t, err)
	assert.NilError(t, w.Close())
	assert.Equal(t, firstWindow([]byte(packed.String()[:zstd.HeaderMaxSize])), uint64(bytes))
	return []byte(packed.String())
}

type addTo struct{ sum *atomic.Int64 }

func (a addTo) Write(data []byte) (int, error) {
	a.sum.Add(int64(len(data)))
	return len(data), nil
}
