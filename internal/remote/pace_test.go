// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/memnet"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// TestPace plays servers that are slow, in virtual time: the slowest that is
// waited for, and the fastest that is not.
func TestPace(t *testing.T) {
	trickle := func(bytes int, every time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for range 64 << 10 / bytes {
				if _, err := w.Write(make([]byte, bytes)); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				time.Sleep(every)
			}
		}
	}
	sips := func(bytes int, every time.Duration) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			for {
				if _, err := io.ReadFull(r.Body, make([]byte, bytes)); err != nil {
					return
				}
				time.Sleep(every)
			}
		}
	}
	waits := func(wait time.Duration) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			time.Sleep(wait)
		}
	}
	tests := []struct {
		name    string
		message *message
		handler http.HandlerFunc
		what    string // of the StalledError, empty if there is none
		after   time.Duration
	}{
		{"answers late", get(), waits(59 * time.Second), "", 59 * time.Second},
		{"answers too late", get(), waits(61 * time.Second), "sent nothing", time.Minute},
		{"sends just enough", get(), trickle(32<<10, 59*time.Second), "", 118 * time.Second},
		{"trickles", get(), trickle(1, 2*time.Second), "moved no more than", 2 * time.Minute},
		{"trickles rarely", get(), trickle(1, 59*time.Second), "moved no more than", 2 * time.Minute},
		{"takes enough", put(64 << 10), sips(16<<10, 20*time.Second), "", 80 * time.Second},
		{"takes an upload by bytes", put(64 << 10), sips(1, time.Second), "of an upload", 2 * time.Minute},
		{"takes nothing of an upload", put(1 << 20), func(http.ResponseWriter, *http.Request) { time.Sleep(3 * time.Minute) }, "took nothing of an upload", 2 * time.Minute},
		{"commits for long", put(64 << 10), waits(14 * time.Minute), "", 14 * time.Minute},
		{"answers a question late", question(100), waits(59 * time.Second), "", 59 * time.Second},
		{"answers no question", question(100), waits(61 * time.Second), "did not answer", time.Minute},
		{"commits an upload of chunks for long", put(0), waits(14 * time.Minute), "", 14 * time.Minute},
		{"commits an upload of chunks for ever", put(0), waits(time.Hour), unansweredUpload, 15 * time.Minute},
		{"answers an empty question late", question(0), waits(59 * time.Second), "", 59 * time.Second},
		{"answers no empty question", question(0), waits(61 * time.Second), "sent nothing", time.Minute},
		{"commits for ever", put(64 << 10), waits(time.Hour), unansweredUpload, 15 * time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var network memnet.Network
				server := &http.Server{Handler: test.handler, ErrorLog: discardLog}
				served := make(chan struct{})
				go func() {
					defer close(served)
					_ = server.Serve(network.Listen("host:80"))
				}()
				synctest.Wait()
				options := Options{Dial: network.Dial}.withDefaults()
				transport := options.transport(nil)
				began := time.Now()
				err := exchange(t.Context(), &pacer{next: transport, options: options, questions: test.message.method == http.MethodPost}, test.message)
				took := time.Since(began)
				stalled, is := find[*StalledError](err)
				switch {
				case test.what == "":
					assert.NilError(t, err)
					assert.Equal(t, took, test.after)
				case !is:
					t.Errorf("no StalledError: %v", err)
				default:
					assert.Check(t, strings.Contains(stalled.What, test.what), "%v", err)
					assert.Check(t, took <= test.after, "it took %s", took)
				}
				transport.CloseIdleConnections()
				_ = server.Close()
				<-served
				time.Sleep(2 * time.Hour) // until the server's handlers have ended
			})
		})
	}
}

func get() *message { return &message{method: http.MethodGet, header: http.Header{}} }

// put is an upload. The last one of an upload in chunks has no bytes.
func put(bytes int) *message {
	return &message{method: http.MethodPut, header: http.Header{}, size: int64(bytes), body: opens(make([]byte, bytes))}
}

// question is a form for a token server.
func question(bytes int) *message {
	m := put(bytes)
	m.method = http.MethodPost
	return m
}

// exchange sends a message and reads the answer.
func exchange(ctx context.Context, wire http.RoundTripper, m *message) error {
	response, err := m.send(ctx, wire, &url.URL{Scheme: "http", Host: "host", Path: "/"})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return errors.Join(err, response.Body.Close())
}

// Time that this process takes is not the server's.
func TestPaceOfSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		p := newPace("host", Options{}.withDefaults(), cancel)
		for range 10 {
			p.beginTurn(time.Minute, "sent nothing")
			time.Sleep(59 * time.Second)
			p.endTurn(64 << 10)
			time.Sleep(time.Hour)
		}
		p.end()
		p.beginTurn(time.Minute, "sent nothing")
		time.Sleep(time.Hour)
		assert.NilError(t, ctx.Err())
	})
}

// TestPaceOfConnections connects to hosts that accept no connection or no handshake:
// the wait is that for a host that does not answer.
func TestPaceOfConnections(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for _, accepts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, accepts %t", scheme, accepts), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var network memnet.Network
					listener := network.Listen("host:80")
					defer listener.Close()
					if accepts {
						go func() {
							for {
								if _, err := listener.Accept(); err != nil {
									return
								}
							}
						}()
					}
					options := Options{Dial: network.Dial}.withDefaults()
					transport := options.transport(nil)
					defer transport.CloseIdleConnections()
					ask := func(ctx context.Context) error {
						m := &message{method: http.MethodGet, header: http.Header{}}
						_, err := m.send(ctx, &pacer{next: transport, options: options}, &url.URL{Scheme: scheme, Host: "host:80"})
						return err
					}
					began := time.Now()
					assert.Check(t, isUnreachable(ask(t.Context())))
					assert.Check(t, time.Since(began) <= options.IdleTimeout, "it took %s", time.Since(began))

					ctx, cancel := context.WithCancel(t.Context())
					result := make(chan error, 1)
					go func() { result <- ask(ctx) }()
					synctest.Wait()
					began = time.Now()
					cancel()
					assert.Check(t, errors.Is(<-result, context.Canceled))
					assert.Equal(t, time.Since(began), time.Duration(0))
				})
			})
		}
	}
}

// TestPaceOfEarlyAnswers plays servers over HTTP/2 that answer before they read the
// request's body: the exchange ends with its context, or after IdleTimeout.
func TestPaceOfEarlyAnswers(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusAccepted, http.StatusServiceUnavailable} {
		for _, questions := range []bool{false, true} {
			for _, cancelled := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d, question %t, cancelled %t", status, questions, cancelled), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						release := make(chan struct{})
						options, open, end := serveHTTP2(fake.AnswerEarly(status, release)(nil))
						defer end()
						defer close(release)
						transport := options.transport(&tls.Config{InsecureSkipVerify: true})
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						if cancelled {
							time.AfterFunc(time.Second, cancel)
						}
						began := time.Now()
						m := &message{method: http.MethodPatch, header: http.Header{}, size: 256 << 10, body: opens(make([]byte, 256<<10))}
						response, err := m.send(ctx, &pacer{next: transport, options: options, questions: questions}, &url.URL{Scheme: "https", Host: "host:443", Path: "/"})
						assert.NilError(t, err)
						_, err = io.Copy(io.Discard, response.Body)
						assert.NilError(t, response.Body.Close())
						if cancelled {
							assert.Check(t, err != nil)
							assert.Equal(t, time.Since(began), time.Second)
						} else {
							_, stalled := find[*StalledError](err)
							assert.Check(t, stalled, "%v", err)
							assert.Equal(t, time.Since(began), options.IdleTimeout)
						}
						transport.CloseIdleConnections()
						time.Sleep(2 * options.IdleTimeout)
						assert.Equal(t, open.Load(), int32(0), "connections are left")
					})
				})
			}
		}
	}
}

// serveHTTP2 starts a server over HTTP/2 at host:443. It returns options of a client and
// the number of open connections.
func serveHTTP2(handler http.Handler) (options Options, open *atomic.Int32, end func()) {
	var network memnet.Network
	open = new(atomic.Int32)
	server := &http.Server{
		Handler:   handler,
		ErrorLog:  discardLog,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{selfSigned()}},
		HTTP2:     &http.HTTP2Config{MaxReceiveBufferPerStream: fake.HTTP2Window},
	}
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		}
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.ServeTLS(network.Listen("host:443"), "", "")
	}()
	synctest.Wait()
	return Options{Dial: network.Dial}.withDefaults(), open, func() {
		_ = server.Close()
		<-served
	}
}

// TestPaceOfFullConnections closes a connection over HTTP/2 if the server takes no byte
// of it: no request would use it again.
func TestPaceOfFullConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network memnet.Network
		listener := network.Listen("host:443")
		defer listener.Close()
		options := Options{Dial: network.Dial}.withDefaults()
		transport := options.transport(&tls.Config{InsecureSkipVerify: true})
		result := make(chan error, 1)
		go func() {
			m := &message{method: http.MethodPut, header: http.Header{}, size: 64 << 10, body: opens(make([]byte, 64<<10))}
			_, err := m.send(t.Context(), &pacer{next: transport, options: options}, &url.URL{Scheme: "https", Host: "host:443", Path: "/"})
			result <- err
		}()
		accepted, err := listener.Accept()
		assert.NilError(t, err)
		connection := tls.Server(accepted, &tls.Config{Certificates: []tls.Certificate{selfSigned()}, NextProtos: []string{"h2"}})
		assert.NilError(t, connection.Handshake())
		_, err = io.ReadFull(connection, make([]byte, len(http2Preface)))
		assert.NilError(t, err)
		_, stalled := find[*StalledError](<-result)
		assert.Check(t, stalled)
		transport.CloseIdleConnections()
		time.Sleep(options.IdleTimeout)
		_, err = io.Copy(io.Discard, accepted)
		assert.NilError(t, err, "the client has not closed the connection")
	})
}

// http2Preface is what a client sends first:
// https://www.rfc-editor.org/rfc/rfc9113#section-3.4.
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
