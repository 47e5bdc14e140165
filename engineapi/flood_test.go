// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/server/router"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// stalled is a body that stops after its text until it is resumed.
type stalled struct {
	*strings.Reader
	resumed <-chan struct{}
}

func (s stalled) Read(p []byte) (int, error) {
	if s.Len() == 0 {
		<-s.resumed
	}
	return s.Reader.Read(p)
}

// heapBytes returns what the heap holds.
func heapBytes() int64 {
	runtime.GC()
	runtime.GC() // what the first one left in pools
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// TestBodiesShareTheirMemory stops many bodies just before their end. Together
// they hold no more than the places for small bodies, and a short body passes.
func TestBodiesShareTheirMemory(t *testing.T) {
	const clients = 8 * smallBodies
	synctest.Test(t, func(t *testing.T) {
		mux := NewMux("", routes{router.NewPostRoute("/read", func(_ context.Context, _ http.ResponseWriter, r *http.Request, _ map[string]string) error {
			_, err := io.Copy(io.Discard, r.Body)
			return err
		})})
		ask := func(body io.Reader, status chan<- int) {
			answer := httptest.NewRecorder()
			mux.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/read", body))
			status <- answer.Code
		}
		statuses, resumed := make(chan int, clients), make(chan struct{})
		text := strings.Repeat("x", smallBody-100)
		before := heapBytes()
		for range clients {
			go ask(stalled{strings.NewReader(text), resumed}, statuses)
		}
		synctest.Wait()
		held := heapBytes() - before
		assert.Check(t, held < smallBodies*smallBody+clients*2*freeBody, "%d bytes", held)

		short := make(chan int, 1)
		ask(strings.NewReader(strings.Repeat("x", freeBody-1)), short)
		assert.Check(t, is.Equal(<-short, http.StatusOK))

		time.Sleep(patience)
		synctest.Wait()
		close(resumed)
		answers := map[int]int{}
		for range clients {
			answers[<-statuses]++
		}
		assert.DeepEqual(t, answers, map[int]int{http.StatusOK: smallBodies, http.StatusServiceUnavailable: clients - smallBodies})
		ask(strings.NewReader(text), short)
		assert.Equal(t, <-short, http.StatusOK, "places were not released")
	})
}

// full is a server with as many connections as it takes.
type full struct {
	server  *http.Server
	pipes   *pipes
	clients []net.Conn
	served  chan error
}

func fillServer(t *testing.T) *full {
	t.Helper()
	f := &full{pipes: &pipes{connections: make(chan net.Conn, 1), closed: make(chan struct{})}, served: make(chan error, 1)}
	f.server = NewServer(NewHandler(newTalkative()))
	go func() { f.served <- f.server.Serve(f.pipes) }()
	for range maxConnections {
		f.clients = append(f.clients, f.connect())
	}
	synctest.Wait()
	return f
}

func (f *full) connect() net.Conn {
	near, far := net.Pipe()
	f.pipes.connections <- far
	return near
}

// TestConnectionsAreBounded connects a client more than the server takes. The
// client is served as soon as another one leaves.
func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fillServer(t)
		waiting := f.connect()
		answered := make(chan int, 1)
		go func() {
			_, _ = io.WriteString(waiting, "GET /nothing HTTP/1.1\r\nHost: d\r\n\r\n")
			answer, err := http.ReadResponse(bufio.NewReader(waiting), nil)
			if assert.Check(t, err) {
				answered <- answer.StatusCode
			}
		}()
		synctest.Wait()
		assert.Check(t, is.Len(answered, 0))

		assert.NilError(t, f.clients[0].Close())
		assert.Equal(t, <-answered, http.StatusNotFound)
		assert.NilError(t, f.server.Close())
		assert.ErrorIs(t, <-f.served, http.ErrServerClosed)
	})
}

// TestFullServerShutsDown shuts a server down while a client waits for a place.
func TestFullServerShutsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fillServer(t)
		f.connect()
		synctest.Wait()
		assert.Check(t, f.server.Shutdown(t.Context()))
		assert.ErrorIs(t, <-f.served, http.ErrServerClosed)
	})
}
