// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command log is a managed plugin that keeps the logs of containers in files, and
// gives them to docker logs:
//
//	docker run --log-driver example/log busybox echo hello
//
// It shows three rules for a log plugin. The daemon writes entries to a FIFO below
// /run/docker/logging in the plugin. StopLogging comes before the daemon closes it, so
// the driver marks its end itself. And the daemon keeps a FIFO open when a plugin dies,
// so that a driver that starts again reads on where it stopped.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/docker/go-connections/sockets"
)

const (
	// socket and root are also in config.json.
	socket = "/run/docker/plugins/log.sock"
	root   = "/data"
)

func main() {
	log.SetFlags(0) // the daemon's log has the time
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context) error {
	driver, err := newDriver(root)
	if err != nil {
		return err
	}
	listener, err := sockets.NewUnixSocket(socket, 0)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	if err := handler(driver).Serve(listener); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
