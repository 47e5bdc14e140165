// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command sshfs-driver is a managed plugin with volumes for docker that are
// directories of other machines, mounted by sshfs.
//
// It shows three rules for a plugin that runs other programs. Its rootfs has their
// libraries. As process 1 it reaps processes whose parents have ended. And what they
// mount is below the propagated mount, where the host sees it.
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
	"github.com/docker/go-plugins-helpers/volume"
)

const (
	// socket and root are also in config.json.
	socket = "/run/docker/plugins/sshfs.sock"
	root   = "/mnt/volumes"
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
	if err := volume.NewHandler(driver).Serve(listener); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
