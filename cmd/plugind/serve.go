//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/dovetailhq/plugin/engineapi"
	"github.com/dovetailhq/plugin/internal/logging"
)

// drainTimeout is how long requests may take to end when plugind ends. A pull
// that takes longer is cut off; it can be repeated.
const drainTimeout = 10 * time.Second

// serve answers requests until ctx ends, and then those that are under way.
func (d *daemon) serve(ctx context.Context) error {
	server := engineapi.NewServer(d.handler())
	server.BaseContext = func(net.Listener) context.Context { return context.WithoutCancel(ctx) }
	// Event streams have no end of their own.
	server.RegisterOnShutdown(d.journal.close)

	ended := make(chan error, 1)
	go func() { ended <- server.Serve(d.listener) }()
	logging.L().WithField("host", d.options.host).Info("plugind is listening")

	select {
	case err := <-ended:
		return fmt.Errorf("serve %s: %w", d.options.host, err)
	case <-ctx.Done():
	}
	logging.L().Info("plugind is shutting down")
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
		logging.L().Warn("requests are cut off")
		return server.Close()
	}
	return err
}
