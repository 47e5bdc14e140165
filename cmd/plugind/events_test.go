// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/events"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/engineapi"
)

// past returns a journal with one event a second, of plugins and volumes in
// turn.
func past() *journal {
	j := newJournal()
	j.logPlugin("1111", "foo:latest", events.ActionEnable)
	j.LogVolumeEvent("data", events.ActionCreate, map[string]string{"driver": "foo:latest"})
	j.logPlugin("2222", "bar:latest", events.ActionDisable)
	j.LogVolumeEvent("cache", events.ActionDestroy, nil)
	for i := range j.kept {
		j.kept[i].Time, j.kept[i].TimeNano = int64(100+i), int64(100+i)*1e9+500
	}
	return j
}

func TestEventsAreSelected(t *testing.T) {
	for _, tc := range []struct {
		name    string
		since   string
		until   string
		filters string
		want    []string
	}{
		{"all", "1", "200", ``, []string{"1111", "data", "2222", "cache"}},
		{"only until", "", "200", ``, []string{"1111", "data", "2222", "cache"}},
		{"since", "102", "200", ``, []string{"2222", "cache"}},
		{"since a fraction", "102.000000501", "200", ``, []string{"cache"}},
		{"until", "1", "101.000000500", ``, []string{"1111", "data"}},
		{"none", "150", "200", ``, []string{}},
		{"of plugins", "1", "200", `{"type":{"plugin":true}}`, []string{"1111", "2222"}},
		{"of volumes", "1", "200", `{"type":{"volume":true}}`, []string{"data", "cache"}},
		{"of both", "1", "200", `{"type":{"volume":true,"plugin":true}}`, []string{"1111", "data", "2222", "cache"}},
		{"of networks", "1", "200", `{"type":{"network":true}}`, []string{}},
		{"by action", "1", "200", `{"event":{"create":true,"disable":true}}`, []string{"data", "2222"}},
		{"of a plugin by name", "1", "200", `{"plugin":{"foo":true}}`, []string{"1111"}},
		{"of a plugin by id", "1", "200", `{"plugin":{"22":true}}`, []string{"2222"}},
		{"of a volume", "1", "200", `{"volume":{"data":true}}`, []string{"data"}},
		{"by attribute", "1", "200", `{"label":{"driver=foo:latest":true}}`, []string{"data"}},
		{"of this node", "1", "200", `{"scope":{"local":true}}`, []string{"1111", "data", "2222", "cache"}},
		{"of a swarm", "1", "200", `{"scope":{"swarm":true}}`, []string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			query := url.Values{"since": {tc.since}, "until": {tc.until}, "filters": {tc.filters}}
			answer := httptest.NewRecorder()
			engineapi.NewMux("", past().router()).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/events?"+query.Encode(), nil))
			assert.Equal(t, answer.Code, http.StatusOK)
			assert.Equal(t, answer.Header().Get("Content-Type"), "application/json")
			assert.DeepEqual(t, ids(decodeAll(t, answer.Body)), tc.want)
		})
	}
}

func decodeAll(t testing.TB, stream io.Reader) []events.Message {
	t.Helper()
	var all []events.Message
	for decoder := json.NewDecoder(stream); ; {
		var event events.Message
		err := decoder.Decode(&event)
		if errors.Is(err, io.EOF) {
			return all
		}
		assert.NilError(t, err)
		all = append(all, event)
	}
}

func TestEventRequestsRefused(t *testing.T) {
	for _, tc := range []struct{ name, query, message string }{
		{"since", "since=yesterday", `read since "yesterday"`},
		{"until", "until=tomorrow", `read until "tomorrow"`},
		{"backwards", "since=200&until=100", "`since` time (200) cannot be after `until` time (100)"},
		{"filters", "filters=x", "invalid filter"},
		{"form", "since=%zz", "invalid URL escape"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := past().stream(t.Context(), httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/events?"+tc.query, nil), nil)
			assert.ErrorContains(t, err, tc.message)
			assert.Assert(t, errdefs.IsInvalidArgument(err))
		})
	}
}

// stream requests the events of j and returns a decoder of the answer.
func stream(t testing.TB, j *journal, query string) *json.Decoder {
	t.Helper()
	server := httptest.NewServer(engineapi.NewMux("", j.router()))
	t.Cleanup(server.Close)
	t.Cleanup(j.close)
	answer, err := http.Get(server.URL + "/events?" + query)
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, answer.Body.Close()) })
	return json.NewDecoder(answer.Body)
}

func TestEventsComeAsTheyHappen(t *testing.T) {
	j := past()
	decoder := stream(t, j, `filters={"type":["plugin"]}`) // once the answer begins, the client follows
	for i := range 3 {
		j.LogVolumeEvent("unwanted", events.ActionCreate, nil)
		j.logPlugin(fmt.Sprint(i), "foo:latest", events.ActionEnable)
		var event events.Message
		assert.NilError(t, decoder.Decode(&event))
		assert.Equal(t, event.Actor.ID, fmt.Sprint(i))
	}
	j.close()
	var none events.Message
	assert.ErrorIs(t, decoder.Decode(&none), io.EOF)
}

func TestEventsEndWithTheirTime(t *testing.T) {
	until := time.Now().Add(300 * time.Millisecond)
	decoder := stream(t, past(), fmt.Sprintf("until=%d.%09d", until.Unix(), until.Nanosecond()))
	var seen int
	for {
		var event events.Message
		err := decoder.Decode(&event)
		if errors.Is(err, io.EOF) {
			break
		}
		assert.NilError(t, err)
		seen++
	}
	assert.Equal(t, seen, 4)
	assert.Assert(t, !time.Now().Before(until))
}

func TestEventsEndWithTheirReader(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	assert.NilError(t, past().stream(ctx, httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/events", nil), nil))

	gone := errors.New("connection reset")
	err := past().follow(context.Background(), 0, selection{}, json.NewEncoder(io.Discard), func() error { return gone })
	assert.ErrorIs(t, err, gone)
	err = past().follow(context.Background(), 0, selection{}, json.NewEncoder(failing{gone}), func() error { return nil })
	assert.ErrorIs(t, err, gone)
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
