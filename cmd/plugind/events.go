// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/server/router"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	timetypes "github.com/docker/docker/api/types/time"
	"github.com/docker/docker/errdefs"
)

func (j *journal) router() router.Router {
	return routes{router.NewGetRoute("/events", j.stream)}
}

// stream sends the events that a client asks for: past events if since or until
// is set, and new events until until, or until the client is gone.
func (j *journal) stream(ctx context.Context, w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	if err := httputils.ParseForm(r); err != nil {
		return err
	}
	wanted, err := parseSelection(r.Form.Get("since"), r.Form.Get("until"), r.Form.Get("filters"))
	if err != nil {
		return err
	}
	position := j.position()
	if !wanted.since.IsZero() || !wanted.until.IsZero() {
		position = 0
	}
	if !wanted.until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, wanted.until)
		defer cancel()
	}

	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	// The answer has begun: any further error means that the client is gone.
	_ = j.follow(ctx, position, wanted, json.NewEncoder(w), http.NewResponseController(w).Flush)
	return nil
}

// follow encodes the wanted events from position on, until ctx or the journal
// ends. It flushes after each batch.
func (j *journal) follow(ctx context.Context, position uint64, wanted selection, out *json.Encoder, flush func() error) error {
	for {
		found, next, more, ended := j.since(position)
		for _, event := range found {
			if !wanted.includes(event) {
				continue
			}
			if err := out.Encode(event); err != nil {
				return err
			}
		}
		if err := flush(); err != nil {
			return err
		}
		if ended {
			return nil
		}
		position = next
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		}
	}
}

// selection is a client's choice of events. A zero time sets no bound.
type selection struct {
	since, until time.Time
	filters      filters.Args
}

func parseSelection(since, until, filtersJSON string) (s selection, err error) {
	if s.since, err = parseTime("since", since); err != nil {
		return selection{}, err
	}
	if s.until, err = parseTime("until", until); err != nil {
		return selection{}, err
	}
	if !s.until.IsZero() && s.until.Before(s.since) {
		return selection{}, errdefs.InvalidParameter(fmt.Errorf("`since` time (%s) cannot be after `until` time (%s)", since, until))
	}
	if s.filters, err = filters.FromJSON(filtersJSON); err != nil {
		return selection{}, err
	}
	return s, nil
}

// parseTime parses seconds with a fraction, which the docker command line
// sends.
func parseTime(name, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	seconds, nanoseconds, err := timetypes.ParseTimestamps(value, -1)
	if err != nil {
		return time.Time{}, errdefs.InvalidParameter(fmt.Errorf("read %s %q: %w", name, value, err))
	}
	return time.Unix(seconds, nanoseconds), nil
}

func (s selection) includes(event events.Message) bool {
	at := time.Unix(0, event.TimeNano)
	if at.Before(s.since) || (!s.until.IsZero() && at.After(s.until)) {
		return false
	}
	return s.filters.ExactMatch("type", string(event.Type)) &&
		s.filters.ExactMatch("event", string(event.Action)) &&
		s.filters.ExactMatch("scope", event.Scope) &&
		s.filters.MatchKVList("label", event.Actor.Attributes) &&
		s.includesActor(events.PluginEventType, event) &&
		s.includesActor(events.VolumeEventType, event)
}

// includesActor reports whether event is about a plugin or volume that the
// filter of that kind names, by ID or by name.
func (s selection) includesActor(kind events.Type, event events.Message) bool {
	if !s.filters.Contains(string(kind)) {
		return true
	}
	return event.Type == kind &&
		(s.filters.FuzzyMatch(string(kind), event.Actor.ID) || s.filters.FuzzyMatch(string(kind), event.Actor.Attributes["name"]))
}
