// SPDX-License-Identifier: Apache-2.0

// Package pluginclient makes the clients by which a daemon calls its plugins.
// They are docker's clients with two additions: limits on the memory for a
// plugin's answers, and an immediate error for a plugin that is down.
package pluginclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/pkg/plugins"
	"github.com/docker/docker/pkg/plugins/transport"

	"github.com/dovetailhq/plugin/internal/socketpath"
)

// streamMethods are the calls that docker answers with a stream of any length.
// Their callers read it piece by piece.
var streamMethods = []string{"/LogDriver.ReadLogs", "/GraphDriver.Diff"}

// maxHeaderBytes bounds the first line and the headers of an answer. Headers take 25
// times their bytes once they are parsed. Errors quote lines that are malformed, and
// docker's client logs such an error at each of its retries.
const maxHeaderBytes = 16 << 10

// Options configure a client.
type Options struct {
	// Dir holds the unix socket Name on which the plugin listens.
	Dir, Name string
	// Timeout bounds a call; zero means no limit.
	Timeout time.Duration
	// Available is called when a connection was refused. It returns why a retry
	// is useless, or nil. It may wait for the plugin until limit, which is
	// Patience later. With a nil Available the client retries for some 15 s.
	Available func(limit time.Time) error
	Patience  time.Duration
	// Room is where a long answer waits until others are read, as long as its
	// call may take.
	Room Room
	// TooLong makes the error of a call with an answer that is longer than
	// [MaxAnswer], or [MaxShortAnswer] for some calls, or has more values than
	// [MaxAnswerItems].
	TooLong func(method string) error
}

// New returns a client. Calls that docker answers with a stream have answers of
// any length.
func New(options Options) (*plugins.Client, error) {
	client, err := plugins.NewClientWithTimeout("unix:///plugin.sock", nil, options.Timeout)
	if err != nil {
		return nil, fmt.Errorf("make plugin client: %w", err)
	}
	carried, err := transportOf(client)
	if err != nil {
		return nil, fmt.Errorf("make plugin client: %w", err)
	}
	connections, ok := carried.RoundTripper.(*http.Transport)
	if !ok {
		return nil, fmt.Errorf("make plugin client: %w", errUnknownClient)
	}
	connections.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return socketpath.Dial(ctx, options.Dir, options.Name)
	}
	connections.MaxResponseHeaderBytes = maxHeaderBytes
	carried.RoundTripper = boundedAnswers{connections, options}
	return client, nil
}

var errUnknownClient = errors.New("this version of github.com/docker/docker/pkg/plugins is not known: its answers can't be bounded")

// transportOf returns the transport of a client that docker's package made.
// That package has no constructor that takes one. Its field of the HTTP client
// is only read; exported fields are changed, before the first call.
func transportOf(client *plugins.Client) (*transport.HTTPTransport, error) {
	field := reflect.ValueOf(client).Elem().FieldByName("http")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*http.Client]() {
		return nil, errUnknownClient
	}
	carried, ok := (*http.Client)(field.UnsafePointer()).Transport.(*transport.HTTPTransport)
	if !ok {
		return nil, errUnknownClient
	}
	return carried, nil
}

// boundedAnswers is a transport that cuts answers off at a limit with an error,
// and answers at once in the place of a plugin that is down.
type boundedAnswers struct {
	http.RoundTripper
	options Options
}

// RoundTrip implements [http.RoundTripper].
func (b boundedAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	var connection *net.OpError
	if b.options.Available != nil && errors.As(err, &connection) && connection.Op == "dial" {
		if down := b.options.Available(time.Now().Add(b.options.Patience)); down != nil {
			return unavailableAnswer(r, down), nil
		}
	}
	if err != nil || isStream(r, response) {
		return response, err
	}
	method := called(r)
	answer := newBoundedAnswer(r.Context(), response.Body, method, limitOf(method, response.StatusCode), b.options)
	response.Body = answer
	if response.StatusCode == http.StatusOK && (method == listMethod || method == getMethod) {
		response.Body = &volumesAnswer{boundedAnswer: answer}
	}
	return response, nil
}

// unavailableAnswer is the answer in the place of a plugin that is down, in the
// form of plugins' errors. Without an answer docker's client would retry.
func unavailableAnswer(r *http.Request, down error) *http.Response {
	text, err := json.Marshal(map[string]string{"Err": down.Error()})
	if err != nil {
		text = nil // a map of strings has no such error
	}
	return &http.Response{
		StatusCode: http.StatusServiceUnavailable, Status: "503 " + http.StatusText(http.StatusServiceUnavailable),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(text)), ContentLength: int64(len(text)), Request: r,
	}
}

// isStream is whether the caller reads the answer piece by piece. The text of
// an error never is, and no call becomes a stream because the plugin redirects
// it to one.
func isStream(r *http.Request, response *http.Response) bool {
	return response.StatusCode == http.StatusOK && r.Response == nil && slices.Contains(streamMethods, r.URL.Path)
}

// called returns what a caller asked for, of a request that may have come of
// the plugin's redirections.
func called(r *http.Request) string {
	for r.Response != nil {
		r = r.Response.Request
	}
	return strings.TrimPrefix(r.URL.Path, "/")
}
