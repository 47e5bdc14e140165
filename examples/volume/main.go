// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command volume-driver is a managed plugin with volumes for docker. A volume
// is a directory, or memory if it was made with -o size=16m.
//
// It shows three rules for a volume plugin. Everything that it stores and
// mounts is below its propagated mount, so that its mounts appear on the host
// and its files survive an upgrade. It knows its volumes, and the mounted ones,
// again after a restart. SIGTERM ends it at once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/docker/go-connections/sockets"
	"github.com/docker/go-plugins-helpers/volume"
)

const (
	// socket, root and defaultsFile are also in config.json.
	socket       = "/run/docker/plugins/volume.sock"
	root         = "/mnt/volumes"
	defaultsFile = "/etc/volume-driver.conf"
)

func main() {
	log.SetFlags(0) // the daemon's log has the time
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv("DEBUG")); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, debug string) error {
	mode, err := parseFlags(args)
	if err != nil {
		return err
	}
	verbose, err := strconv.ParseBool(debug)
	if err != nil && debug != "" {
		return fmt.Errorf("read DEBUG: %w", err)
	}
	defaults, err := readDefaults(defaultsFile)
	if err != nil {
		return err
	}
	driver, err := newDriver(root, mode, defaults)
	if err != nil {
		return err
	}
	// A driver that was killed leaves its socket, which is replaced.
	listener, err := sockets.NewUnixSocket(socket, 0)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	log.Printf("serving %d volumes", len(driver.state))
	return serve(ctx, listener, logged(driver, verbose))
}

func parseFlags(args []string) (os.FileMode, error) {
	flags := flag.NewFlagSet("volume-driver", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main prints the error, once
	mode := flags.String("mode", "0755", "permissions of a new volume, in octal")
	if err := flags.Parse(args); err != nil {
		return 0, err
	}
	bits, err := strconv.ParseUint(*mode, 8, 9)
	if err != nil {
		return 0, fmt.Errorf("read --mode: %w", err)
	}
	return os.FileMode(bits), nil
}

func serve(ctx context.Context, listener net.Listener, driver volume.Driver) error {
	stopped := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stopped()
	err := volume.NewHandler(driver).Serve(listener)
	if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
		return nil
	}
	return err
}
