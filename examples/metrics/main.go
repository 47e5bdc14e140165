// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command metrics is a managed plugin that serves the daemon's metrics at /metrics of
// the setting ADDRESS, where Prometheus finds them. The daemon mounts a socket with its
// metrics into plugins of this kind, and calls StartMetrics once the plugin is enabled.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/docker/go-connections/sockets"
	"github.com/docker/go-plugins-helpers/sdk"
)

const (
	// socket is also in config.json.
	socket = "/run/docker/plugins/metrics.sock"
	// source is the daemon's socket.
	source = "/run/docker/metrics.sock"
)

func main() {
	log.SetFlags(0) // the daemon's log has the time
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Getenv("ADDRESS")); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, address string) error {
	// Before the socket: a plugin that can't serve metrics does not become ready.
	public, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("serve metrics: %w", err)
	}
	collector := newCollector(source)
	server := &http.Server{Handler: collector}
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(public) }()
	listener, err := sockets.NewUnixSocket(socket, 0)
	if err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), server.Close())
	}
	go func() { failed <- handler(collector).Serve(listener) }()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	return errors.Join(err, server.Close(), listener.Close())
}

// handler serves docker's protocol.
func handler(c *collector) sdk.Handler {
	h := sdk.NewHandler(`{"Implements": ["MetricsCollector"]}`)
	for method, started := range map[string]bool{"StartMetrics": true, "StopMetrics": false} {
		h.HandleFunc("/MetricsCollector."+method, func(w http.ResponseWriter, _ *http.Request) {
			c.started.Store(started)
			sdk.EncodeResponse(w, map[string]string{}, false)
		})
	}
	return h
}
