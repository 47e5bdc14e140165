// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/docker/docker/api/server/httputils"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/class"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Observer adds two endpoints that docker does not have, for a [Backend] that
// implements it. GET /plugins/{name}/status returns a plugin's status. GET
// /plugins/{name}/logs streams a plugin's output, one JSON object a line; its
// parameters are follow, tail (a number, or all) and since (RFC 3339, or
// seconds since 1970).
type Observer interface {
	Status(refOrID string) (*plugin.Status, error)
	Logs(ctx context.Context, refOrID string, options plugin.LogOptions) (iter.Seq2[plugin.LogLine, error], error)
}

var _ Observer = (*plugin.Manager)(nil)

type observed struct {
	observer Observer
}

func (o observed) status(_ context.Context, w http.ResponseWriter, _ *http.Request, vars map[string]string) error {
	status, err := o.observer.Status(vars["name"])
	if err != nil {
		return err
	}
	return httputils.WriteJSON(w, http.StatusOK, status)
}

func (o observed) logs(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	options, err := logOptions(r)
	if err != nil {
		return err
	}
	ctx, cancel := untilShutdown(ctx)
	defer cancel()
	lines, err := o.observer.Logs(ctx, vars["name"], options)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	_ = flush.Flush()                                   // the headers show a following client that the stream is open
	encoder := json.NewEncoder(plaintext.JSONWriter(w)) // lines are read in terminals
	for line, err := range lines {
		if err != nil {
			return nil // the client is gone, or sees that the stream has ended
		}
		if err := encoder.Encode(line); err != nil {
			return nil
		}
		if options.Follow {
			_ = flush.Flush()
		}
	}
	return nil
}

func logOptions(r *http.Request) (plugin.LogOptions, error) {
	if err := httputils.ParseForm(r); err != nil {
		return plugin.LogOptions{}, err
	}
	options := plugin.LogOptions{Follow: httputils.BoolValue(r, "follow")}
	if tail := r.Form.Get("tail"); tail != "" && tail != "all" {
		count, err := strconv.Atoi(tail)
		if err != nil || count < 0 {
			return options, class.InvalidParameter(fmt.Errorf("tail %q is not a number of lines", tail))
		}
		options.Tail = count
		if count == 0 {
			options.Tail = -1 // none
		}
	}
	if since := r.Form.Get("since"); since != "" {
		at, err := parseTime(since)
		if err != nil {
			return options, class.InvalidParameter(fmt.Errorf("since %q is neither a time of RFC 3339 nor seconds since 1970", since))
		}
		options.Since = at
	}
	return options, nil
}

func parseTime(text string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), err
}
