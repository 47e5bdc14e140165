package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/memnet"
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
		upload  int // a negative one is a question
		handler http.HandlerFunc
		what    string // of the StalledError, empty if there is none
		after   time.Duration
	}{
		{"answers late", 0, waits(59 * time.Second), "", 59 * time.Second},
		{"answers too late", 0, waits(61 * time.Second), "sent nothing", time.Minute},
		{"sends just enough", 0, trickle(32<<10, 59*time.Second), "", 118 * time.Second},
		{"trickles", 0, trickle(1, 2*time.Second), "moved no more than", 2 * time.Minute},
		{"trickles rarely", 0, trickle(1, 59*time.Second), "moved no more than", 2 * time.Minute},
		{"takes enough", 64 << 10, sips(16<<10, 20*time.Second), "", 80 * time.Second},
		{"takes an upload by bytes", 64 << 10, sips(1, time.Second), "of an upload", 2 * time.Minute},
		{"takes nothing of an upload", 1 << 20, func(http.ResponseWriter, *http.Request) { time.Sleep(3 * time.Minute) }, "took nothing of an upload", 2 * time.Minute},
		{"commits for long", 64 << 10, waits(14 * time.Minute), "", 14 * time.Minute},
		{"answers a question late", -100, waits(59 * time.Second), "", 59 * time.Second},
		{"answers no question", -100, waits(61 * time.Second), "did not answer", time.Minute},
		{"commits for ever", 64 << 10, waits(time.Hour), unansweredUpload, 15 * time.Minute},
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
				err := exchange(t.Context(), &pacer{next: transport, options: options, questions: test.upload < 0}, max(test.upload, -test.upload))
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

// exchange sends an upload of some bytes and reads the answer.
func exchange(ctx context.Context, wire http.RoundTripper, upload int) error {
	m := &message{method: http.MethodGet, header: http.Header{}}
	if upload > 0 {
		m.method, m.size, m.body = http.MethodPut, int64(upload), opens(make([]byte, upload))
	}
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
			p.theirs(time.Minute, "sent nothing")
			time.Sleep(59 * time.Second)
			p.ours(64 << 10)
			time.Sleep(time.Hour)
		}
		p.end()
		p.theirs(time.Minute, "sent nothing")
		time.Sleep(time.Hour)
		assert.NilError(t, ctx.Err())
	})
}

// A host that takes no connection, or no handshake, is waited for like one that
// does not answer.
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
