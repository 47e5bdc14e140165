// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"context"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// Decoders with large windows wait for each other, those of layers not for those of
// build contexts. Ordinary windows wait only ahead of their turn.
func TestWindowsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget()
		now := make(chan struct{})
		close(now)
		later := make(chan struct{})
		var held []func()
		take := func(bytes int64, turn <-chan struct{}) {
			release, err := b.window(t.Context(), bytes, turn)
			assert.NilError(t, err)
			held = append(held, release)
		}
		for range aheadWindowBytes / ordinaryWindowBytes {
			take(ordinaryWindowBytes, later)
		}
		take(maxZstdWindowBytes, now)
		take(maxZstdWindowBytes, nil)
		for range 100 {
			take(ordinaryWindowBytes, now)
			take(ordinaryWindowBytes, nil)
		}

		ended, cancel := context.WithCancel(t.Context())
		for _, waits := range []struct {
			bytes int64
			turn  <-chan struct{}
		}{{ordinaryWindowBytes, later}, {maxZstdWindowBytes, now}, {maxZstdWindowBytes, nil}} {
			got := make(chan error, 1)
			go func() {
				_, err := b.window(ended, waits.bytes, waits.turn)
				got <- err
			}()
			synctest.Wait()
			assert.Equal(t, len(got), 0, "a window was granted although the budget is used up")
			defer func() { assert.Check(t, is.ErrorIs(<-got, context.Canceled)) }()
		}
		cancel()
		synctest.Wait()
		for _, release := range held {
			release()
		}
		close(later)
		take(maxZstdWindowBytes, later)
		take(maxZstdWindowBytes, nil)
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
