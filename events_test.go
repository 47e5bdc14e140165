package plugin

import (
	"sync"
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
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
			var b broadcaster
			events, cancel := b.subscribe(len(all), tc.filters)
			for _, e := range all {
				b.publish(e)
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

func TestSlowSubscriberBlocksNobody(t *testing.T) {
	var b broadcaster
	slow, cancelSlow := b.subscribe(0, nil)
	defer cancelSlow()
	quick, cancelQuick := b.subscribe(10, nil)
	defer cancelQuick()
	for _, id := range []string{"1", "2", "3", "4"} {
		b.publish(EventEnable{Plugin: types.Plugin{ID: id}})
	}
	assert.Equal(t, len(quick), 4)
	assert.Equal(t, (<-slow).(EventEnable).Plugin.ID, "1")
	b.publish(EventDisable{})
	assert.DeepEqual(t, <-slow, EventsDropped{Count: 3})
	assert.DeepEqual(t, <-slow, EventDisable{})
	assert.Equal(t, len(slow), 0)
}

func TestSubscribersComeAndGo(t *testing.T) {
	var b broadcaster
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				events, cancel := b.subscribe(1, []Event{EventEnable{}})
				b.publish(EventEnable{})
				<-events
				cancel()
			}
		})
	}
	wg.Wait()
	assert.Equal(t, len(b.subscribers), 0)
}
