package rootfs

import (
	"context"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// Decoders that look back far wait for each other, and those that are ahead of
// their turn keep none from getting on.
func TestWindowsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget()
		now := make(chan struct{})
		close(now)
		later := make(chan struct{})
		var ahead []func()
		for range aheadWindowBytes / ordinaryWindowBytes {
			release, err := b.window(t.Context(), ordinaryWindowBytes, later)
			assert.NilError(t, err)
			ahead = append(ahead, release)
		}
		large, err := b.window(t.Context(), maxZstdWindowBytes, now)
		assert.NilError(t, err)

		got := make(chan func(), 2)
		take := func(ctx context.Context, turn <-chan struct{}) {
			if release, err := b.window(ctx, ordinaryWindowBytes, turn); err == nil {
				got <- release
			}
		}
		go take(t.Context(), now)
		go take(t.Context(), later)
		synctest.Wait()
		assert.Equal(t, len(got), 0, "more is taken than there is")
		large()
		synctest.Wait()
		assert.Equal(t, len(got), 1, "what is free is not taken")
		close(later)
		synctest.Wait()
		assert.Equal(t, len(got), 2, "its turn has come")

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = b.window(ended, maxZstdWindowBytes, now)
		assert.Check(t, is.ErrorIs(err, context.Canceled))
		for _, release := range append(ahead, <-got, <-got) {
			release()
		}
		large, err = b.window(t.Context(), maxZstdWindowBytes, now)
		assert.NilError(t, err)
		large()
	})
}

func TestCompressorsAreBounded(t *testing.T) {
	b := NewBudget()
	first, releaseFirst := b.compressors(maxLayerBlocks - 4)
	second, releaseSecond := b.compressors(maxLayerBlocks)
	third, releaseThird := b.compressors(maxLayerBlocks)
	assert.Check(t, is.DeepEqual([]int{first, second, third}, []int{maxLayerBlocks - 4, 4, 1}))
	releaseFirst()
	releaseSecond()
	releaseThird()
	all, release := b.compressors(maxLayerBlocks)
	assert.Equal(t, all, maxLayerBlocks)
	release()
}
