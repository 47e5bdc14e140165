//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/containerd/log"
	"github.com/docker/go-connections/sockets"
)

const (
	// drainTimeout is how long requests may take to end when plugind ends.
	// A pull that takes longer is cut off; it can be repeated.
	drainTimeout = 10 * time.Second
	// headerTimeout is how long a client may take to say what it wants.
	headerTimeout = 30 * time.Second
)

// listen makes the socket, for root and its group only. One that nothing
// listens on any more, left by a plugind that was killed, is replaced.
func (o options) listen() (net.Listener, error) {
	path, err := o.socket()
	if err != nil {
		return nil, err
	}
	connection, err := net.Dial("unix", path)
	switch {
	case err == nil:
		return nil, errors.Join(fmt.Errorf("listen on %s: another process serves it", o.host), connection.Close())
	case errors.Is(err, os.ErrNotExist):
	case !errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("listen on %s: %w", o.host, err)
	default:
		if err := removeSocket(path); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", o.host, err)
		}
	}
	listener, err := sockets.NewUnixSocketWithOpts(path, sockets.WithChmod(0o660))
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", o.host, err)
	}
	return listener, nil
}

// removeSocket removes path if it is a socket. Another file is refused to
// connections too, and is not ours to remove.
func removeSocket(path string) error {
	found, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if found.Mode().Type() != os.ModeSocket {
		return errors.New("there is a file that is no socket")
	}
	return os.Remove(path)
}

// serve answers requests until ctx ends, and then those that are under way.
func (d *daemon) serve(ctx context.Context) error {
	server := &http.Server{
		Handler:           d.handler(),
		ReadHeaderTimeout: headerTimeout,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	// Event streams have no end of their own.
	server.RegisterOnShutdown(d.journal.close)

	ended := make(chan error, 1)
	go func() { ended <- server.Serve(d.listener) }()
	log.L.WithField("host", d.options.host).Info("plugind is listening")

	select {
	case err := <-ended:
		return fmt.Errorf("serve %s: %w", d.options.host, err)
	case <-ctx.Done():
	}
	log.L.Info("plugind is shutting down")
	err := drain(server)
	if serveErr := <-ended; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// drain ends server once its requests have, or cuts them off.
func drain(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		log.L.Warn("requests are cut off")
		return server.Close()
	}
	return err
}
