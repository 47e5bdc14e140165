// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/registry"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// pipes is a listener of connections in memory. They have no buffers and follow
// a test's virtual time.
type pipes struct {
	connections chan net.Conn
	closed      chan struct{}
	once        sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case connection := <-p.connections:
		return connection, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: "pipe"} }

// connect serves backend. It returns a client's end of a connection, and a
// function that ends both.
func connect(t *testing.T, backend Backend) (client net.Conn, end func()) {
	t.Helper()
	p := &pipes{connections: make(chan net.Conn), closed: make(chan struct{})}
	server := NewServer(NewHandler(backend))
	served := make(chan error)
	go func() { served <- server.Serve(p) }()
	client, theirs := net.Pipe()
	p.connections <- theirs
	return client, func() {
		client.Close()
		assert.Check(t, server.Close())
		assert.Check(t, is.ErrorIs(<-served, http.ErrServerClosed))
	}
}

func send(t *testing.T, client net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(client, text)
	assert.NilError(t, err)
}

func chunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

const (
	createHead = "POST /plugins/create?name=foo HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n"
	setHead    = "POST /plugins/foo/set HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)

// TestMovingUploadLives sends at the lowest rate allowed, just before patience
// ends, for an hour.
func TestMovingUploadLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := &recorder{}
		client, end := connect(t, backend)
		defer end()
		send(t, client, createHead)
		for range 60 {
			time.Sleep(patience - time.Millisecond)
			send(t, client, chunk(strings.Repeat("x", minRate*60)))
		}
		send(t, client, "0\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(client), nil)
		assert.NilError(t, err)
		assert.Equal(t, answer.StatusCode, http.StatusNoContent)
		assert.DeepEqual(t, backend.recorded(), []string{fmt.Sprintf("create foo from %d bytes", minRate*60*60)})
	})
}

// TestSilentClientsAreGivenUp stops sending in the middle of a request.
func TestSilentClientsAreGivenUp(t *testing.T) {
	for _, tc := range []struct {
		name   string
		sent   string
		after  time.Duration
		answer string
	}{
		{"in the headers", "GET /plugins HTTP/1.1\r\nHost", headerTimeout, "400 Bad Request"},
		{"before a body of a length", "POST /plugins/foo/set HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\n", patience + lingerTimeout, "read request: the client sent nothing for 1m0s"},
		{"in a body of a length", "POST /plugins/foo/set HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\n[", patience + lingerTimeout, "read request: the client sent nothing for 1m0s"},
		{"in a body that nothing serves", "POST /plugins HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\n[", lingerTimeout, "method POST not allowed"},
		{"in a build context of a length", "POST /plugins/create?name=foo HTTP/1.1\r\nHost: d\r\nContent-Length: 100000\r\n\r\nbegins", patience + lingerTimeout, "read request: the client sent nothing for 1m0s"},
		{"in a build context", createHead + chunk("begins"), patience, "read request: the client sent nothing for 1m0s"},
		{"in settings", setHead + chunk(`["A=`), patience, "read request: the client sent nothing for 1m0s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				backend := &recorder{}
				client, end := connect(t, backend)
				defer end()
				began := time.Now()
				send(t, client, tc.sent)
				reader := bufio.NewReader(client)
				answer, err := http.ReadResponse(reader, nil)
				assert.NilError(t, err)
				assert.Check(t, answer.StatusCode >= http.StatusBadRequest)
				assert.Check(t, is.Contains(bodyOf(t, answer), tc.answer))
				_, err = reader.ReadByte()
				assert.Check(t, is.ErrorIs(err, io.EOF), "the connection is still there")
				assert.Check(t, is.Equal(time.Since(began), tc.after))
				assert.Check(t, is.Len(backend.recorded(), 0))
			})
		})
	}
}

// TestSlowBackendIsNotASilentClient delays the backend between reads and after
// the body.
func TestSlowBackendIsNotASilentClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, end := connect(t, slowReader{})
		defer end()
		go send(t, client, createHead+chunk("begins")+chunk("ends")+"0\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(client), nil)
		assert.NilError(t, err)
		assert.Equal(t, answer.StatusCode, http.StatusNoContent)
	})
}

// slowReader is a backend that waits an hour before each read, and longer after
// the last.
type slowReader struct{ Backend }

func (slowReader) CreateFromContext(ctx context.Context, tarCtx io.ReadCloser, _ *types.PluginCreateOptions) error {
	for {
		time.Sleep(time.Hour)
		_, err := tarCtx.Read(make([]byte, 4))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	time.Sleep(time.Hour)
	return ctx.Err()
}

// TestClosedBodyEndsItsRead closes a body while the backend reads it, as a
// manager does at shutdown.
func TestClosedBodyEndsItsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, end := connect(t, impatient{})
		defer end()
		began := time.Now()
		go send(t, client, createHead+chunk("begins"))
		answer, err := http.ReadResponse(bufio.NewReader(client), nil)
		assert.NilError(t, err)
		assert.Equal(t, answer.StatusCode, http.StatusInternalServerError)
		assert.Equal(t, time.Since(began), time.Duration(0))
	})
}

// impatient is a backend that closes the body of a silent client at once.
type impatient struct{ Backend }

func (impatient) CreateFromContext(_ context.Context, tarCtx io.ReadCloser, _ *types.PluginCreateOptions) error {
	read := make(chan error)
	go func() {
		_, err := io.ReadAll(tarCtx)
		read <- err
	}()
	synctest.Wait()
	return errors.Join(errors.New("given up"), tarCtx.Close(), <-read)
}

// busy is a backend whose upgrade holds a lock while it reports progress.
type busy struct {
	Backend
	held     sync.Mutex
	upgraded chan error
}

func (b *busy) Upgrade(ctx context.Context, _ reference.Named, _ string, _ http.Header, _ *registry.AuthConfig, _ types.PluginPrivileges, out io.Writer) error {
	b.held.Lock()
	defer b.held.Unlock()
	for ctx.Err() == nil {
		_, _ = io.WriteString(out, step) // a disconnected client does not stop the upgrade
	}
	b.upgraded <- ctx.Err()
	return ctx.Err()
}

// TestSlowReaderHoldsNothing asks for an upgrade and reads none, or too little,
// of its progress.
func TestSlowReaderHoldsNothing(t *testing.T) {
	for _, tc := range []struct {
		name string
		read int // bytes, one a second
	}{
		{"reads nothing", 0},
		{"reads a little", 1000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				backend := &busy{upgraded: make(chan error, 1)}
				var reading sync.WaitGroup
				defer reading.Wait()
				client, end := connect(t, backend)
				defer end()
				began := time.Now()
				send(t, client, "POST /plugins/foo/upgrade?remote=foo HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n")
				reading.Go(func() {
					for range tc.read {
						time.Sleep(time.Second)
						if _, err := client.Read(make([]byte, 1)); err != nil {
							return
						}
					}
				})
				assert.Check(t, is.ErrorIs(<-backend.upgraded, context.Canceled))
				backend.held.Lock() // the upgrade has released it
				assert.Check(t, is.Equal(time.Since(began), patience))
			})
		})
	}
}

func TestLimits(t *testing.T) {
	for _, tc := range []struct {
		name    string
		request string
		status  int
	}{
		{"headers", "GET /plugins HTTP/1.1\r\nHost: d\r\nX-Registry-Auth: " + strings.Repeat("x", 2*maxHeaderBytes) + "\r\n\r\n", http.StatusRequestHeaderFieldsTooLarge},
		{"large credentials", "GET /plugins HTTP/1.1\r\nHost: d\r\nX-Registry-Auth: " + strings.Repeat("x", maxHeaderBytes/2) + "\r\n\r\n", http.StatusOK},
		{"settings", setHead + chunk(`["`+strings.Repeat("x", maxBody)+`"]`) + "0\r\n\r\n", http.StatusBadRequest},
		{
			"a form where none belongs",
			"POST /plugins/foo/enable HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n" +
				chunk("timeout="+strings.Repeat("1", maxBody)) + "0\r\n\r\n",
			http.StatusBadRequest,
		},
		{"a build context may be larger", createHead + chunk(strings.Repeat("x", 2*maxBody)) + "0\r\n\r\n", http.StatusNoContent},
		{"an unknown method", "BREW /plugins HTTP/1.1\r\nHost: d\r\n\r\n", http.StatusMethodNotAllowed},
		{"a known one elsewhere", "DELETE /plugins HTTP/1.1\r\nHost: d\r\n\r\n", http.StatusMethodNotAllowed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			listener, err := net.Listen("unix", t.TempDir()+"/s")
			assert.NilError(t, err)
			server := NewServer(NewHandler(&recorder{}))
			served := make(chan error)
			go func() { served <- server.Serve(listener) }()
			defer func() {
				assert.Check(t, server.Close())
				assert.Check(t, is.ErrorIs(<-served, http.ErrServerClosed))
			}()
			client, err := net.Dial("unix", listener.Addr().String())
			assert.NilError(t, err)
			defer client.Close()
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				_, _ = io.WriteString(client, tc.request) // the server need not read what is too much
			}()
			answer, err := http.ReadResponse(bufio.NewReader(client), nil)
			assert.NilError(t, err)
			assert.Equal(t, answer.StatusCode, tc.status)
			client.Close()
			<-sent
		})
	}
}
