// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command network is a managed plugin with networks for docker. The containers of a
// network have macvlan interfaces on one link of its own, so that they reach each other and
// nothing else. There is no bridge:
//
//	docker network create -d example/network --internal net
//
// It shows two rules for a network plugin. It runs in the network namespace of the
// host, where docker looks for the interface that Join names. And it keeps no state:
// what exists are the links, so that a driver that starts again knows its networks.
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
	"github.com/docker/go-plugins-helpers/network"
)

// socket is also in config.json.
const socket = "/run/docker/plugins/network.sock"

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
	listener, err := sockets.NewUnixSocket(socket, 0)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	if err := network.NewHandler(driver{}).Serve(listener); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
