// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"context"
	"errors"
	"iter"
	"testing"
	"time"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
)

// observable is a backend that is also an Observer.
type observable struct {
	*recorder
	options plugin.LogOptions
	lines   []plugin.LogLine
	last    error
}

func (b *observable) Status(refOrID string) (*plugin.Status, error) {
	return &plugin.Status{Name: refOrID, State: "running", Pid: 7}, b.record("status %s", refOrID)
}

func (b *observable) Logs(_ context.Context, refOrID string, options plugin.LogOptions) (iter.Seq2[plugin.LogLine, error], error) {
	b.options = options
	return func(yield func(plugin.LogLine, error) bool) {
		for _, line := range b.lines {
			if !yield(line, nil) {
				return
			}
		}
		if b.last != nil {
			yield(plugin.LogLine{}, b.last)
		}
	}, b.record("logs %s", refOrID)
}

func TestStatus(t *testing.T) {
	b := &observable{recorder: &recorder{}}
	answer := serve(t, b, "GET", "/v1.50/plugins/dovetail/example:latest/status", "")
	assert.Equal(t, answer.StatusCode, 200)
	assert.Check(t, is.Contains(bodyOf(t, answer), `"Name":"dovetail/example:latest","State":"running"`))

	b.err = &plugin.NotFoundError{Ref: "x"}
	assert.Equal(t, serve(t, b, "GET", "/plugins/x/status", "").StatusCode, 404)
	assert.Equal(t, serve(t, b.recorder, "GET", "/plugins/x/status", "").StatusCode, 405, "the backend is not an Observer")
}

func TestLogs(t *testing.T) {
	at := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	b := &observable{recorder: &recorder{}, lines: []plugin.LogLine{
		{Time: at, Stream: "stdout", Text: "one"}, {Time: at, Stream: "stderr", Text: "two"},
	}}
	want := `{"time":"2025-01-02T03:04:05Z","stream":"stdout","log":"one"}
{"time":"2025-01-02T03:04:05Z","stream":"stderr","log":"two"}`
	for _, tc := range []struct {
		query string
		want  plugin.LogOptions
	}{
		{"", plugin.LogOptions{}},
		{"?tail=all", plugin.LogOptions{}},
		{"?tail=", plugin.LogOptions{}},
		{"?tail=0", plugin.LogOptions{Tail: -1}},
		{"?follow=1&tail=00", plugin.LogOptions{Follow: true, Tail: -1}},
		{"?follow=1&tail=5", plugin.LogOptions{Follow: true, Tail: 5}},
		{"?since=2025-01-02T03:04:05Z", plugin.LogOptions{Since: at}},
		{"?since=1735787045", plugin.LogOptions{Since: at.Local()}},
	} {
		answer := serve(t, b, "GET", "/plugins/p/logs"+tc.query, "")
		assert.Equal(t, answer.StatusCode, 200, tc.query)
		assert.Equal(t, bodyOf(t, answer), want)
		assert.Check(t, b.options.Since.Equal(tc.want.Since), tc.query)
		b.options.Since, tc.want.Since = time.Time{}, time.Time{}
		assert.Equal(t, b.options, tc.want, tc.query)
	}
	b.last = errors.New("disk error")
	assert.Equal(t, bodyOf(t, serve(t, b, "GET", "/plugins/p/logs", "")), want)
	for _, bad := range []string{"tail=-1", "tail=x", "since=yesterday"} {
		assert.Equal(t, serve(t, b, "GET", "/plugins/p/logs?"+bad, "").StatusCode, 400, bad)
	}
	b.err = &plugin.NotFoundError{Ref: "x"}
	assert.Equal(t, serve(t, b, "GET", "/plugins/x/logs", "").StatusCode, 404)
}
