// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/server/router"
	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
)

// talkative is a backend with long or endless answers.
type talkative struct{ *recorder }

func newTalkative() talkative {
	b := &recorder{
		plugins:    make([]types.Plugin, 1000),
		privileges: make(types.PluginPrivileges, 10_000),
	}
	for range 1000 {
		b.progress = append(b.progress, step)
	}
	return talkative{b}
}

func (b talkative) Status(string) (*plugin.Status, error) {
	return &plugin.Status{LastError: strings.Repeat("x", 1<<20)}, nil
}

func (b talkative) Logs(ctx context.Context, _ string, _ plugin.LogOptions) (iter.Seq2[plugin.LogLine, error], error) {
	return func(yield func(plugin.LogLine, error) bool) {
		for ctx.Err() == nil && yield(plugin.LogLine{Text: "again"}, nil) {
		}
	}, nil
}

// foreign returns routes like those of other packages: one reads its body, one
// ignores it, one answers without end, and one takes a body of any length.
func foreign() []router.Router {
	return []router.Router{
		routes{
			router.NewPostRoute("/foreign/reads", func(_ context.Context, w http.ResponseWriter, r *http.Request, _ map[string]string) error {
				var value any
				if err := httputils.ReadJSON(r, &value); err != nil {
					return err
				}
				return httputils.WriteJSON(w, http.StatusOK, strings.Repeat("x", 1<<20))
			}),
			router.NewGetRoute("/foreign/ignores", func(_ context.Context, w http.ResponseWriter, _ *http.Request, _ map[string]string) error {
				return httputils.WriteJSON(w, http.StatusOK, strings.Repeat("x", 1<<20))
			}),
			router.NewGetRoute("/foreign/follows", func(ctx context.Context, w http.ResponseWriter, _ *http.Request, _ map[string]string) error {
				out := json.NewEncoder(w)
				for ctx.Err() == nil {
					if err := errors.Join(out.Encode("again"), http.NewResponseController(w).Flush()); err != nil {
						return nil
					}
				}
				return nil
			}),
		},
		Streaming(routes{
			router.NewPostRoute("/foreign/streams", func(_ context.Context, w http.ResponseWriter, r *http.Request, _ map[string]string) error {
				_, err := io.Copy(io.Discard, r.Body)
				return err
			}),
		}),
	}
}

// everyRequest returns one request for each route, and some that no route
// serves.
func everyRequest(t *testing.T) (lines []string) {
	t.Helper()
	for _, from := range append(foreign(), NewRouter(newTalkative())) {
		for _, route := range from.Routes() {
			path := variable.ReplaceAllString(route.Path(), "foo")
			lines = append(lines, route.Method()+" "+path+"?remote=foo")
		}
	}
	assert.Assert(t, len(lines) > 15)
	return append(lines, "GET /unknown", "BREW /plugins", "GET /v9.9/plugins")
}

// slowClients hold a connection by every means there is. Each does its part
// after it has sent the request line.
var slowClients = []struct {
	name  string
	does  func(c *slowClient, line string)
	bound time.Duration // until the server has closed the connection
	deaf  bool          // reads nothing of what the server sends
}{
	{"is silent from the start", func(*slowClient, string) {}, headerTimeout, false},
	{"stops in the headers", func(c *slowClient, line string) {
		c.send(line + " HTTP/1.1\r\nHo")
	}, headerTimeout, false},
	{"trickles headers", func(c *slowClient, line string) {
		c.trickle(line + " HTTP/1.1\r\nHost: d\r\nX-Long: " + strings.Repeat("x", 1000))
	}, headerTimeout, false},
	{"sends no body of a length", func(c *slowClient, line string) {
		c.begin(line, "Content-Length: 100")
	}, 2 * patience, false},
	{"sends half a body of a length", func(c *slowClient, line string) {
		c.begin(line, "Content-Length: 100")
		c.send(`["begins`)
	}, 2 * patience, false},
	{"trickles a body of a length", func(c *slowClient, line string) {
		c.begin(line, "Content-Length: 1000000")
		c.trickle(strings.Repeat(" ", 1000))
	}, 2 * patience, false},
	{"sends no body that is huge", func(c *slowClient, line string) {
		c.begin(line, "Content-Length: 1000000000000")
	}, 2 * patience, false},
	{"sends no chunk", func(c *slowClient, line string) {
		c.begin(line, "Transfer-Encoding: chunked")
	}, 2 * patience, false},
	{"stops in a chunk", func(c *slowClient, line string) {
		c.begin(line, "Transfer-Encoding: chunked")
		c.send("ff\r\n[")
	}, 2 * patience, false},
	{"trickles chunks", func(c *slowClient, line string) {
		c.begin(line, "Transfer-Encoding: chunked")
		c.trickle(strings.Repeat(chunk(" "), 1000))
	}, 2 * patience, false},
	{"stops in the trailer", func(c *slowClient, line string) {
		c.begin(line, "Transfer-Encoding: chunked")
		c.send(chunk("[]") + "0\r\nX-Tr")
	}, 2 * patience, false},
	{"waits for 100 Continue and sends nothing", func(c *slowClient, line string) {
		c.begin(line, "Content-Length: 100\r\nExpect: 100-continue")
	}, 2 * patience, false},
	{"reads nothing", func(c *slowClient, line string) {
		c.begin(line, "Content-Length: 2")
		c.send("[]")
	}, 2 * patience, true},
	{"reads a byte now and then", func(c *slowClient, line string) {
		c.begin(line, "Content-Length: 2")
		c.send("[]")
		for c.read(1) {
			time.Sleep(10 * time.Second)
		}
	}, 2 * patience, true},
	{"sends nothing and reads nothing", func(c *slowClient, line string) {
		c.begin(line, "Content-Length: 100")
	}, 2 * patience, true},
	{"sends no more, in the headers", func(c *slowClient, line string) {
		c.send(line + " HTTP/1.1\r\nHo")
		c.closeWrite()
	}, time.Second, false},
	{"sends no more, in a body of a length", func(c *slowClient, line string) {
		c.begin(line, "Content-Length: 100")
		c.closeWrite()
	}, time.Second, false},
	{"sends no more, in a chunk", func(c *slowClient, line string) {
		c.begin(line, "Transfer-Encoding: chunked")
		c.send("ff\r\n[")
		c.closeWrite()
	}, time.Second, false},
	{"sends no more and reads nothing", func(c *slowClient, line string) {
		c.begin(line, "Content-Length: 2")
		c.send("[]")
		c.closeWrite()
	}, 2 * patience, true},
	{"asks for nothing more", func(c *slowClient, _ string) {
		c.begin("GET /plugins", "Content-Length: 0")
	}, keepAliveTimeout, false},
}

// duplex is one end of a connection that can be closed for one direction.
type duplex struct {
	net.Conn // for reading
	out      net.Conn
}

func duplexes() (near, far duplex) {
	nearIn, farOut := net.Pipe()
	farIn, nearOut := net.Pipe()
	return duplex{nearIn, nearOut}, duplex{farIn, farOut}
}

func (d duplex) Write(b []byte) (int, error)         { return d.out.Write(b) }
func (d duplex) SetWriteDeadline(at time.Time) error { return d.out.SetWriteDeadline(at) }
func (d duplex) Close() error                        { return errors.Join(d.Conn.Close(), d.out.Close()) }
func (d duplex) SetDeadline(at time.Time) error {
	return errors.Join(d.SetReadDeadline(at), d.SetWriteDeadline(at))
}

// slowClient is the client's end of a connection.
type slowClient struct{ duplex }

func (c *slowClient) closeWrite() { _ = c.out.Close() }

func (c *slowClient) send(text string) bool {
	_, err := io.WriteString(c, text)
	return err == nil
}

func (c *slowClient) read(n int) bool {
	_, err := io.ReadFull(c, make([]byte, n))
	return err == nil
}

func (c *slowClient) begin(line, headers string) {
	c.send(line + " HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n" + headers + "\r\n\r\n")
}

// trickle sends a byte every ten seconds.
func (c *slowClient) trickle(text string) {
	for _, b := range []byte(text) {
		if !c.send(string(rune(b))) {
			return
		}
		time.Sleep(10 * time.Second)
	}
}

// watched is the server's end of a connection.
type watched struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (w *watched) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

// TestSlowClientsAreCutOff sends each route a request from each slow client.
// The server closes the connection within the bound. The bubble ends only when
// no handler's goroutine is left.
func TestSlowClientsAreCutOff(t *testing.T) {
	for _, line := range everyRequest(t) {
		for _, tc := range slowClients {
			t.Run(line+" "+tc.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := &pipes{connections: make(chan net.Conn), closed: make(chan struct{})}
					server := NewServer(NewMux("", append(foreign(), NewRouter(newTalkative()))...))
					served := make(chan error)
					go func() { served <- server.Serve(p) }()
					near, far := duplexes()
					connection := &watched{Conn: far, closed: make(chan struct{})}
					began := time.Now()
					p.connections <- connection

					var clients sync.WaitGroup
					clients.Go(func() { tc.does(&slowClient{near}, line) })
					if !tc.deaf {
						clients.Go(func() { _, _ = io.Copy(io.Discard, near) })
					}
					select {
					case <-connection.closed:
						assert.Check(t, time.Since(began) <= tc.bound+time.Second, "%s", time.Since(began))
					case <-time.After(time.Hour):
						t.Error("the connection is still there")
					}
					assert.Check(t, near.Close())
					clients.Wait()
					assert.Check(t, server.Close())
					assert.Check(t, is.ErrorIs(<-served, http.ErrServerClosed))
				})
			})
		}
	}
}

// TestLargeBodiesShareTheirPlaces sends bodies of the maximum size from many
// clients to a handler that keeps them.
func TestLargeBodiesShareTheirPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		arrived, leave := make(chan int, 100), make(chan struct{})
		mux := NewMux("", routes{router.NewPostRoute("/keep", func(_ context.Context, _ http.ResponseWriter, r *http.Request, _ map[string]string) error {
			body, err := io.ReadAll(r.Body)
			arrived <- len(body)
			<-leave
			return err
		})})
		ask := func(size int) <-chan int {
			status := make(chan int, 1)
			go func() {
				answer := httptest.NewRecorder()
				mux.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/keep", strings.NewReader(strings.Repeat("x", size))))
				status <- answer.Code
			}()
			return status
		}
		var all []<-chan int
		for range 3 * largeBodies {
			all = append(all, ask(maxBody))
		}
		synctest.Wait()
		assert.Check(t, is.Len(arrived, largeBodies))

		small := ask(smallBody - 1) // usual requests wait for no place
		synctest.Wait()
		assert.Check(t, is.Len(arrived, largeBodies+1))

		time.Sleep(patience)
		synctest.Wait()
		close(leave)
		answers := map[int]int{<-small: 1}
		for _, status := range all {
			answers[<-status]++
		}
		assert.Equal(t, <-ask(maxBody), http.StatusOK, "places were not released")
		assert.DeepEqual(t, answers, map[int]int{http.StatusOK: largeBodies + 1, http.StatusServiceUnavailable: 2 * largeBodies})
	})
}

// following is a backend whose logs end only with their context.
type following struct{ talkative }

func (f following) Logs(ctx context.Context, _ string, _ plugin.LogOptions) (iter.Seq2[plugin.LogLine, error], error) {
	return func(func(plugin.LogLine, error) bool) { <-ctx.Done() }, nil
}

// TestShutdownEndsFollowers shuts a server down while a client follows logs.
func TestShutdownEndsFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{connections: make(chan net.Conn), closed: make(chan struct{})}
		server := NewServer(NewHandler(following{newTalkative()}))
		served := make(chan error)
		go func() { served <- server.Serve(p) }()
		near, far := net.Pipe()
		p.connections <- far
		send(t, near, "GET /plugins/foo/logs?follow=1 HTTP/1.1\r\nHost: d\r\n\r\n")
		go func() { _, _ = io.Copy(io.Discard, near) }()
		synctest.Wait()
		began := time.Now()
		assert.Check(t, server.Shutdown(t.Context()))
		assert.Check(t, time.Since(began) < time.Second, "%s", time.Since(began))
		assert.Check(t, is.ErrorIs(<-served, http.ErrServerClosed))
		assert.Check(t, near.Close())
	})
}
