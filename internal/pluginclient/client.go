package plugin

import (
	"bytes"
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
)

// streamMethods are the calls that docker answers with a stream of any length.
// Their callers read it piece by piece.
var streamMethods = []string{"/LogDriver.ReadLogs", "/GraphDriver.Diff"}

// newPluginClient returns the client for the plugin that listens on the unix
// socket at path. A call may take as long as timeout, or any time if that is
// zero. While the plugin can't be connected to, the client repeats a call for
// some 15 seconds, unless available, asked once a connection was refused, says
// why that is of no use. It may be nil. An answer longer than a call's caller
// should hold in memory fails to be read, with an [AnswerError]. One that is
// long waits for room among those of all plugins, as long as the call may take.
func newPluginClient(path string, timeout time.Duration, available func(limit time.Time) error, room longAnswers) (*plugins.Client, error) {
	client, err := plugins.NewClientWithTimeout("unix://"+path, nil, timeout)
	if err != nil {
		return nil, fmt.Errorf("make plugin client: %w", err)
	}
	carried, err := transportOf(client)
	if err != nil {
		return nil, fmt.Errorf("make plugin client: %w", err)
	}
	carried.RoundTripper = boundedAnswers{carried.RoundTripper, available, room}
	return client, nil
}

var errUnknownClient = errors.New("this version of github.com/docker/docker/pkg/plugins is not known: its answers can't be bounded")

// transportOf returns the transport of a client that docker's package made.
// That package has no constructor that takes one. Its field of the HTTP client
// is only read; what is changed, before the first call, are exported fields.
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

// boundedAnswers is a transport whose answers end in an error where they are
// longer than callers can take, and come at once from a plugin that is down.
type boundedAnswers struct {
	http.RoundTripper
	available func(limit time.Time) error
	room      longAnswers
}

// RoundTrip implements [http.RoundTripper].
func (b boundedAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	var connection *net.OpError
	if b.available != nil && errors.As(err, &connection) && connection.Op == "dial" {
		if down := b.available(time.Now().Add(firstMoments)); down != nil {
			return unavailableAnswer(r, down), nil
		}
	}
	if err != nil || isStream(r, response) {
		return response, err
	}
	response.Body = newBoundedAnswer(r.Context(), response.Body, called(r), b.room)
	return response, nil
}

// unavailableAnswer is the answer in the place of a plugin that is down, in the
// form of plugins' errors. Docker's client repeats what had no answer.
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
