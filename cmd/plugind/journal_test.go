// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/events"
	"gotest.tools/v3/assert"
)

func ids(found []events.Message) []string {
	all := []string{}
	for _, event := range found {
		all = append(all, event.Actor.ID)
	}
	return all
}

func TestJournalReadsFromAnyPosition(t *testing.T) {
	j := newJournal()
	assert.Equal(t, j.position(), uint64(0))
	j.logPlugin("a", "foo:latest", events.ActionEnable)
	j.LogVolumeEvent("b", events.ActionCreate, map[string]string{"driver": "local"})
	assert.Equal(t, j.position(), uint64(2))

	for _, tc := range []struct {
		position uint64
		want     []string
	}{
		{0, []string{"a", "b"}},
		{1, []string{"b"}},
		{2, []string{}},
		{9, []string{}},
	} {
		found, next, _, ended := j.since(tc.position)
		assert.DeepEqual(t, ids(found), tc.want)
		assert.Equal(t, next, uint64(2))
		assert.Assert(t, !ended)
	}
}

func TestJournalEventsAreDockers(t *testing.T) {
	j := newJournal()
	j.logPlugin("a", "foo:latest", events.ActionEnable)
	attributes := map[string]string{"driver": "local"}
	j.LogVolumeEvent("b", events.ActionCreate, attributes)
	attributes["driver"] = "changed afterwards"

	found, _, _, _ := j.since(0)
	for i := range found {
		assert.Equal(t, found[i].TimeNano/1e9, found[i].Time)
		found[i].Time, found[i].TimeNano = 0, 0
	}
	assert.DeepEqual(t, found, []events.Message{
		{Type: "plugin", Action: "enable", Scope: "local", Actor: events.Actor{ID: "a", Attributes: map[string]string{"name": "foo:latest"}}},
		{Type: "volume", Action: "create", Scope: "local", Actor: events.Actor{ID: "b", Attributes: map[string]string{"driver": "local"}}},
	})
}

func TestJournalKeepsTheNewest(t *testing.T) {
	j := newJournal()
	for i := range journalSize {
		j.logPlugin(fmt.Sprint(i), "", events.ActionEnable)
	}
	whole, _, _, _ := j.since(0)
	j.logPlugin("last", "", events.ActionEnable)
	assert.Equal(t, len(whole), journalSize)
	assert.Equal(t, whole[0].Actor.ID, "0") // later events leave a reader's slice unchanged

	found, next, _, _ := j.since(0)
	assert.Equal(t, len(found), journalSize)
	assert.Equal(t, found[0].Actor.ID, "1")
	assert.Equal(t, found[journalSize-1].Actor.ID, "last")
	assert.Equal(t, next, uint64(journalSize+1))
}

func TestJournalWakesReaders(t *testing.T) {
	j := newJournal()
	const readers, written = 8, 200
	var reading sync.WaitGroup
	got := make([][]string, readers)
	for i := range readers {
		reading.Go(func() {
			position := uint64(0)
			for {
				found, next, more, ended := j.since(position)
				got[i] = append(got[i], ids(found)...)
				position = next
				if ended {
					return
				}
				<-more
			}
		})
	}
	want := []string{}
	for i := range written {
		want = append(want, fmt.Sprint(i))
		j.logPlugin(want[i], "", events.ActionEnable)
	}
	j.close()
	j.close()
	reading.Wait()
	for i := range readers {
		assert.DeepEqual(t, got[i], want)
	}
}

func TestJournalTakesEventsAfterItsEnd(t *testing.T) {
	j := newJournal()
	j.close()
	j.logPlugin("late", "", events.ActionDisable)
	found, _, more, ended := j.since(0)
	assert.DeepEqual(t, ids(found), []string{"late"})
	assert.Assert(t, ended)
	<-more
}
