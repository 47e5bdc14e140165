// SPDX-License-Identifier: Apache-2.0

//go:build linux

package containerd_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	client "github.com/containerd/containerd/v2/client"
	"gotest.tools/v3/assert"
)

// proxy is between a client and a containerd. From a certain call on it stops
// forwarding, in one or both directions, as if containerd were stopped.
type proxy struct {
	listener *net.UnixListener
	to       string

	mu sync.Mutex
	// calls is how many more calls pass; negative means all.
	calls   int
	deaf    bool
	stopped bool
	reached chan struct{} // closed at the call at which the proxy stops
	resumed chan struct{}
}

// startProxy returns a client that reaches d through a proxy. The proxy forwards all
// calls until stopAfter.
func startProxy(t *testing.T, d *daemon) (*proxy, *client.Client) {
	t.Helper()
	directory, err := os.MkdirTemp("", "ctp")
	assert.NilError(t, err)
	path := filepath.Join(directory, "sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	assert.NilError(t, err)
	p := &proxy{listener: listener, to: d.path("containerd.sock"), calls: -1, reached: make(chan struct{}), resumed: make(chan struct{})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		p.serve()
	}()
	cli, err := client.New(path)
	assert.NilError(t, err)
	t.Cleanup(func() {
		cli.Close()
		listener.Close()
		p.resume()
		<-served
		assert.NilError(t, os.RemoveAll(directory))
	})
	return p, cli
}

// stopAfter makes the proxy stop after the given number of calls. A deaf proxy holds
// back requests; otherwise it forwards requests and holds back the answers.
func (p *proxy) stopAfter(calls int, deaf bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls, p.deaf = calls, deaf
}

// hasStopped reports whether the call at which the proxy stops was made.
func (p *proxy) hasStopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped
}

// resume forwards the data that was held back, and all later data.
func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = -1
	p.stopped = false
	select {
	case <-p.resumed:
	default:
		close(p.resumed)
	}
}

func (p *proxy) serve() {
	var connections sync.WaitGroup
	defer connections.Wait()
	for {
		near, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		far, err := net.Dial("unix", p.to)
		if err != nil {
			near.Close()
			continue
		}
		connections.Go(func() {
			defer far.Close()
			p.forwardRequests(near, far)
		})
		connections.Go(func() {
			defer near.Close()
			p.forwardAnswers(far, near)
		})
	}
}

// forwardRequests forwards HTTP/2 frames
// (https://www.rfc-editor.org/rfc/rfc9113#section-4.1). Each call begins with a
// HEADERS frame.
func (p *proxy) forwardRequests(from io.Reader, to io.Writer) {
	const preface, header, headers = len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 9, 1
	if _, err := io.CopyN(to, from, int64(preface)); err != nil {
		return
	}
	for {
		frame := make([]byte, header)
		if _, err := io.ReadFull(from, frame); err != nil {
			return
		}
		length := int(binary.BigEndian.Uint32(frame[:4]) >> 8)
		payload := make([]byte, length)
		if _, err := io.ReadFull(from, payload); err != nil {
			return
		}
		if p.holdsRequest(frame[3] == headers) {
			<-p.resumed
		}
		if _, err := to.Write(append(frame, payload...)); err != nil {
			return
		}
	}
}

func (p *proxy) holdsRequest(isCall bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if isCall && p.calls >= 0 {
		if p.calls == 0 && !p.stopped {
			p.stopped = true
			close(p.reached)
		}
		p.calls = max(p.calls-1, 0)
	}
	return p.stopped && p.deaf
}

func (p *proxy) forwardAnswers(from io.Reader, to io.Writer) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if p.hasStopped() {
				<-p.resumed
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
