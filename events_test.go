// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/broadcast"
	"github.com/dovetailhq/plugin/internal/testseed"
)

func created(id string, capabilities ...string) EventCreate {
	return EventCreate{Plugin: stored(id, id, false, capabilities...).PluginObj}
}

func TestEventFilters(t *testing.T) {
	a, b := types.Plugin{ID: "a"}, types.Plugin{ID: "b"}
	all := []Event{
		created("a", "volumedriver"), created("b", "networkdriver", "ipamdriver"),
		EventRemove{Plugin: a}, EventRemove{Plugin: b},
		EventDisable{Plugin: a}, EventDisable{Plugin: b},
		EventEnable{Plugin: a}, EventEnable{Plugin: b},
	}
	for _, tc := range []struct {
		name    string
		filters []Event
		want    []int
	}{
		{"none", nil, []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{"zero create", []Event{EventCreate{}}, []int{0, 1}},
		{"zero remove", []Event{EventRemove{}}, []int{2, 3}},
		{"zero disable", []Event{EventDisable{}}, []int{4, 5}},
		{"zero enable", []Event{EventEnable{}}, []int{6, 7}},
		{"by id", []Event{EventRemove{Plugin: a}, EventEnable{Plugin: b}}, []int{2, 7}},
		{"by capability", []Event{EventCreate{Interfaces: map[string]bool{"ipamdriver": true}}}, []int{1}},
		{"by interface", []Event{EventCreate{Interfaces: map[string]bool{"docker.volumedriver/1.0": true}}}, []int{0}},
		{"any of capabilities", []Event{EventCreate{Interfaces: map[string]bool{"ipamdriver": true, "volumedriver": true}}}, []int{0, 1}},
		{"no such capability", []Event{EventCreate{Interfaces: map[string]bool{"authz": true}}}, nil},
		{"nil", []Event{nil}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBroadcaster()
			events, cancel := b.Subscribe(len(all), tc.filters)
			for _, e := range all {
				b.Publish(e)
			}
			cancel()
			cancel()
			var got []Event
			for e := range events {
				got = append(got, e.(Event))
			}
			assert.Equal(t, len(got), len(tc.want))
			for i, want := range tc.want {
				assert.DeepEqual(t, got[i], all[want])
			}
		})
	}
}

// TestEventsOfAPluginMatchByKindAndPlugin compares every kind with every other.
func TestEventsOfAPluginMatchByKindAndPlugin(t *testing.T) {
	kinds := func(id string) []Event {
		p := types.Plugin{ID: id}
		return []Event{
			EventRemove{Plugin: p}, EventDisable{Plugin: p}, EventEnable{Plugin: p}, EventStartFailed{Plugin: p},
			EventExited{Plugin: p}, EventRestarted{Plugin: p}, EventSet{Plugin: p}, EventUpgraded{Plugin: p},
		}
	}
	for i, any := range kinds("") {
		for j, a := range kinds("a") {
			assert.Check(t, is.Equal(any.matches(a), i == j), "%T of %T", any, a)
			assert.Check(t, is.Equal(kinds("a")[i].matches(a), i == j), "%T of %T", any, a)
			assert.Check(t, !kinds("b")[i].matches(a), "%T of %T", any, a)
		}
	}
}

// TestDropsAreReportedWhenThereIsRoom expects the report although no event
// follows.
func TestDropsAreReportedWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroadcaster()
		slow, cancelSlow := b.Subscribe(0, nil)
		defer cancelSlow()
		quick, cancelQuick := b.Subscribe(10, nil)
		defer cancelQuick()
		for _, id := range []string{"1", "2", "3", "4"} {
			b.Publish(EventEnable{Plugin: types.Plugin{ID: id}})
		}
		assert.Equal(t, len(quick), 4, "a slow subscriber is in the way of others")
		time.Sleep(time.Hour)
		assert.Equal(t, (<-slow).(EventEnable).Plugin.ID, "1")
		before := time.Now()
		assert.DeepEqual(t, <-slow, EventsDropped{Count: 3})
		assert.Check(t, time.Since(before) <= time.Second)
		time.Sleep(time.Hour)
		assert.Equal(t, len(slow), 0)

		b.Publish(EventDisable{})
		b.Publish(EventDisable{})
		assert.DeepEqual(t, <-slow, EventDisable{})
		b.Publish(EventSet{})
		assert.DeepEqual(t, <-slow, EventsDropped{Count: 1})
		assert.DeepEqual(t, <-slow, EventSet{})
	})
}

// TestEveryEventOfDockersIsDelivered compares with a channel of the same
// buffer, on which docker delivers: reports of drops take no event's room.
func TestEveryEventOfDockersIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for buffer := range 5 {
			random := rand.New(rand.NewPCG(uint64(buffer), 0))
			b := newBroadcaster()
			events, cancel := b.Subscribe(buffer, nil)
			docker := make(chan int, max(buffer, 1))
			var seen, dockers []int
			receive := func() {
				for e := range events {
					if e, ok := e.(EventSet); ok {
						number, _ := strconv.Atoi(e.Plugin.ID)
						seen = append(seen, number)
						return
					}
				}
			}
			for i := range 2000 {
				b.Publish(EventSet{Plugin: types.Plugin{ID: fmt.Sprint(i)}})
				select {
				case docker <- i:
				default:
				}
				for random.IntN(3) == 0 && len(docker) > 0 {
					dockers = append(dockers, <-docker)
					receive()
					time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
				}
			}
			cancel()
			receive()
			assert.DeepEqual(t, seen[:len(dockers)], dockers)
		}
	})
}

// TestEveryEventIsDeliveredOrCounted reads at random moments.
func TestEveryEventIsDeliveredOrCounted(t *testing.T) {
	seed := testseed.Of(t)
	random := rand.New(rand.NewPCG(seed, 0))
	b := newBroadcaster()
	events, cancel := b.Subscribe(3, nil)
	defer cancel()
	const all = 5000
	seen := 0
	receive := func(e any) {
		switch e := e.(type) {
		case EventsDropped:
			assert.Assert(t, e.Count > 0)
			seen += e.Count
		case EventSet:
			assert.Equal(t, e.Plugin.ID, fmt.Sprint(seen), "the event before was neither delivered nor counted")
			seen++
		}
	}
	for i := range all {
		b.Publish(EventSet{Plugin: types.Plugin{ID: fmt.Sprint(i)}})
		for random.IntN(4) == 0 && len(events) > 0 {
			receive(<-events)
		}
	}
	for seen < all {
		receive(<-events)
	}
	assert.Equal(t, seen, all)
}

// TestSubscriptionEndsWithDropsToReport cancels, or closes, while the report
// waits for room.
func TestSubscriptionEndsWithDropsToReport(t *testing.T) {
	for name, end := range map[string]func(b *broadcast.Broadcaster[Event], cancel func()){
		"cancelled":     func(_ *broadcast.Broadcaster[Event], cancel func()) { cancel() },
		"then closed":   func(b *broadcast.Broadcaster[Event], cancel func()) { cancel(); b.Close() },
		"closed before": func(b *broadcast.Broadcaster[Event], cancel func()) { b.Close(); cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBroadcaster()
				events, cancel := b.Subscribe(1, nil)
				b.Publish(EventSet{})
				b.Publish(EventSet{})
				end(b, cancel)
				cancel()
				b.Publish(EventSet{})
				assert.DeepEqual(t, <-events, EventSet{})
				_, open := <-events
				assert.Check(t, !open)
			})
		})
	}
}
