package rootfs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func stored(layer []byte) Source {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer)), nil }
}

func (p *playground) applyAll(t testing.TB, sources []Source, applied func(int, Layer) error) error {
	t.Helper()
	u, err := NewUnpacker(p.root, Limits{})
	assert.NilError(t, err)
	defer u.Close()
	return u.ApplyAll(t.Context(), sources, applied)
}

// Layers unpack in order, however they are packed, as one after the other.
func TestApplyAll(t *testing.T) {
	for round := range 8 {
		t.Logf("go test -run %s -seed %d", t.Name(), *seed+uint64(round))
		g := newGenerator(*seed + uint64(round))
		var sources []Source
		var plain [][]byte
		for i := range 7 {
			layer := archive(t, g.layer()...)
			packed := [][]byte{layer, gzipped(t, layer), zstandard(t, layer)}[i%3]
			plain, sources = append(plain, layer), append(sources, stored(packed))
		}
		together, apart := newPlayground(t), newPlayground(t)
		var seen []digest.Digest
		err := together.applyAll(t, sources, func(i int, layer Layer) error {
			assert.Equal(t, i, len(seen))
			assert.Equal(t, layer, Layer{DiffID: digest.FromBytes(plain[i]), Bytes: int64(len(plain[i]))})
			seen = append(seen, layer.DiffID)
			return nil
		})
		apartErr := apart.apply(t, Limits{}, plain...)
		assert.Equal(t, err == nil, apartErr == nil, "together: %v, apart: %v", err, apartErr)
		assert.DeepEqual(t, snapshot(t, together.root), snapshot(t, apart.root))
	}
}

func TestApplyAllFailures(t *testing.T) {
	cut, refused := errors.New("connection cut"), errors.New("not what the config says")
	sound := gzipped(t, archive(t, file("a", text(newRandom(1), 400<<10))))
	hostile := archive(t, hardlink("x", "nowhere"))
	tests := []struct {
		name   string
		third  Source
		refuse int // the layer that applied refuses
		want   string
	}{
		{"not there", func(context.Context) (io.ReadCloser, error) { return nil, cut }, -1, "read archive: connection cut"},
		{"cut at once", readingInstead(failing{cut}), -1, "read archive: connection cut"},
		{"cut", readingInstead(io.MultiReader(bytes.NewReader(sound[:len(sound)/2]), failing{cut})), -1, "read archive: connection cut"},
		{"cut after the archive", readingInstead(io.MultiReader(bytes.NewReader(archive(t)), failing{cut})), -1, "connection cut"},
		{"damaged", stored(sound[:len(sound)/2]), -1, "archive is malformed: unexpected EOF"},
		{"hostile", stored(hostile), -1, `"x": it is a hard link`},
		{"refused", stored(sound), 1, "not what the config says"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayground(t)
			before := openFiles(t)
			synctest.Test(t, func(t *testing.T) {
				err := p.applyAll(t, []Source{stored(sound), stored(sound), test.third, stored(sound), stored(sound)}, func(i int, _ Layer) error {
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

func readingInstead(r io.Reader) Source {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(r), nil }
}

// Sources that wait end with ctx.
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

// Layers wait for the one before them in bounded memory, which is the same for
// all that unpack at the same time; and all get to their ends.
func TestApplyAllIsBounded(t *testing.T) {
	large := archive(t, file("large", strings.Repeat("x", 40<<20)))
	for _, pulls := range []int{1, 3} {
		roots := make([]string, pulls)
		for i := range roots {
			roots[i] = newPlayground(t).root
		}
		synctest.Test(t, func(t *testing.T) {
			limits := Limits{Budget: NewBudget()} // of this bubble
			release := make(chan struct{})
			var inflated atomic.Int64
			sources := []Source{func(context.Context) (io.ReadCloser, error) {
				<-release
				return io.NopCloser(bytes.NewReader(archive(t))), nil
			}}
			done := make(chan error)
			for _, root := range roots {
				go func() {
					u, err := NewUnpacker(root, limits)
					assert.Check(t, err)
					defer u.Close()
					all := slices.Clone(sources)
					for range 3 {
						all = append(all, readingInstead(io.TeeReader(bytes.NewReader(large), addTo{&inflated})))
					}
					done <- u.ApplyAll(t.Context(), all, func(int, Layer) error { return nil })
				}()
			}
			synctest.Wait()
			ahead := inflated.Load()
			assert.Check(t, ahead >= min(aheadBlocks*pumpBlockBytes, int64(len(large))), "only %d bytes ahead", ahead)
			own := pulls * (pumpBlocks + 2*maxInflating)
			assert.Check(t, ahead <= int64(aheadBlocks+own)*pumpBlockBytes, "%d bytes ahead", ahead)
			close(release)
			for range roots {
				assert.NilError(t, <-done)
			}
			assert.Equal(t, inflated.Load(), int64(pulls*3*len(large)))
			assert.Equal(t, len(limits.Budget.blocks), aheadBlocks, "blocks were not given back")
		})
	}
}

type addTo struct{ sum *atomic.Int64 }

func (a addTo) Write(data []byte) (int, error) {
	a.sum.Add(int64(len(data)))
	return len(data), nil
}
