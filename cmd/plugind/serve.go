// SPDX-License-Identifier: Apache-2.0

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

// drainTimeout bounds how long requests in progress can take when plugind ends.
// A longer pull is cut off and can be repeated.
const drainTimeout = 10 * time.Second

// server serves the API.
type server struct {
	*http.Server
	ended chan error // gets the error of Serve
}

// serve answers requests until ctx ends or the listener fails.
func (d *daemon) serve(ctx context.Context) error {
	d.server = &server{engineapi.NewServer(d.handler()), make(chan error, 1)}
	d.server.BaseContext = func(net.Listener) context.Context { return context.WithoutCancel(ctx) }
	// Event streams do not end by themselves.
	d.server.RegisterOnShutdown(d.journal.close)
	go func() { d.server.ended <- d.server.Serve(d.listener) }()
	logging.L().WithField("host", d.options.host).Info("plugind is listening")

	select {
	case err := <-d.server.ended:
		d.server.ended <- http.ErrServerClosed
		return fmt.Errorf("serve %s: %w", d.options.host, err)
	case <-ctx.Done():
		return nil
	}
}

// drain ends the server once its requests have ended, or cuts them off when ctx
// ends.
func (s *server) drain(ctx context.Context) error {
	logging.L().Info("plugind is shutting down")
	err := s.Shutdown(ctx)
	if ctx.Err() != nil {
		logging.L().Warn("shutdown timed out: remaining requests are cut off")
		err = s.Close()
	}
	if ended := <-s.ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}
