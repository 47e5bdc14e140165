// SPDX-License-Identifier: Apache-2.0

package broadcast

import (
	"sync"
	"testing"

	"gotest.tools/v3/assert"
)

func TestSubscribersComeAndGo(t *testing.T) {
	b := New(func(filter, event int) bool { return filter == event }, func(int) int { return 0 })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				events, cancel := b.Subscribe(1, []int{1})
				b.Publish(1)
				<-events
				cancel()
			}
		})
	}
	wg.Wait()
	assert.Equal(t, len(b.subscribers), 0)
}
