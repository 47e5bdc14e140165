// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/volume"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// TestListsAreShared counts the lists that many requests with a few filters
// cause.
func TestListsAreShared(t *testing.T) {
	for _, tc := range []struct {
		name     string
		filters  int
		inFlight int // the maximum
		made     int
	}{
		{"one filter", 1, 1, 2},
		{"two filters", 2, 2, 4},
		{"many filters", 10, maxLists, 20},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLists[int]()
				var made, inFlight, most, answered atomic.Int32
				list := func() (int, error) {
					most.Store(max(most.Load(), inFlight.Add(1)))
					time.Sleep(time.Second)
					inFlight.Add(-1)
					return int(made.Add(1)), nil
				}
				request := func(n int) {
					_, err := l.get(strconv.Itoa(n), list)
					assert.Check(t, err)
					answered.Add(1)
				}
				for n := range tc.filters {
					go request(n)
				}
				synctest.Wait()
				time.Sleep(time.Duration(tc.filters/maxLists)*time.Second - time.Second/2) // each has begun
				for n := range tc.filters * 40 {
					go request(n % tc.filters)
				}
				time.Sleep(time.Hour)
				assert.Check(t, is.Equal(int(answered.Load()), tc.filters*41))
				assert.Check(t, int(most.Load()) <= tc.inFlight, "%d lists at a time", most.Load())
				assert.Check(t, int(made.Load()) <= tc.made, "%d lists", made.Load())
				assert.Check(t, is.Len(l.last, 0))
				assert.Check(t, is.Len(l.waiting, 0))
			})
		})
	}
}

// TestListsAreNewerThanTheirRequests makes a volume while a list is in
// progress, and then lists again.
func TestListsAreNewerThanTheirRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLists[int32]()
		var volumes atomic.Int32
		list := func() (int32, error) {
			found := volumes.Load()
			time.Sleep(time.Second)
			return found, nil
		}
		go func() { _, _ = l.get("", list) }()
		synctest.Wait()
		for range 3 {
			want := volumes.Add(1)
			found, err := l.get("", list)
			assert.NilError(t, err)
			assert.Check(t, found >= want, "the list lacks a volume that was there before")
		}
	})
}

// TestListsDuringAListThatHangs lists volumes while a list with another filter
// hangs.
func TestListsDuringAListThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLists[int]()
		hang := make(chan struct{})
		for range 10 {
			go func() { _, _ = l.get("", func() (int, error) { <-hang; return 0, nil }) }()
		}
		synctest.Wait()
		got, err := l.get("local", func() (int, error) { return 7, nil })
		assert.NilError(t, err)
		assert.Equal(t, got, 7)
		close(hang)
		synctest.Wait()
		assert.Check(t, is.Len(l.places, 0))
	})
}

// TestListIsWrittenAsDockerDoes compares a list written in pieces with docker's
// encoding.
func TestListIsWrittenAsDockerDoes(t *testing.T) {
	for _, tc := range []struct {
		name string
		list volumeList
	}{
		{"nothing", volumeList{}},
		{"no volumes", volumeList{found: []*volume.Volume{}, warnings: []string{"<one>"}}},
		{"volumes", volumeList{found: []*volume.Volume{{Name: "a<b>"}, {Name: "c", Options: map[string]string{"d": "e"}}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var want bytes.Buffer
			encoder := json.NewEncoder(&want)
			encoder.SetEscapeHTML(false)
			assert.NilError(t, encoder.Encode(volume.ListResponse{Volumes: tc.list.found, Warnings: tc.list.warnings}))
			got := httptest.NewRecorder()
			assert.NilError(t, tc.list.write(got))
			assert.Equal(t, got.Body.String(), want.String())
			assert.Equal(t, got.Header().Get("Content-Type"), "application/json")
		})
	}
}
