// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command authz is a managed plugin that denies privileged containers, except to
// users that the setting TRUSTED names. A daemon asks it about each request:
//
//	dockerd --authorization-plugin example/authz
//
// It fails closed: a request that it can't read is denied.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/docker/go-connections/sockets"
	"github.com/docker/go-plugins-helpers/authorization"
)

// socket is also in config.json.
const socket = "/run/docker/plugins/authz.sock"

func main() {
	log.SetFlags(0) // the daemon's log has the time
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, newPolicy(os.Getenv("TRUSTED"))); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, p policy) error {
	listener, err := sockets.NewUnixSocket(socket, 0)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	if err := authorization.NewHandler(p).Serve(listener); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func newPolicy(trusted string) policy {
	p := policy{trusted: map[string]bool{}}
	for name := range strings.SplitSeq(trusted, ",") {
		if name = strings.TrimSpace(name); name != "" {
			p.trusted[name] = true
		}
	}
	return p
}
