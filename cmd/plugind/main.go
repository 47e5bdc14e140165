//go:build linux

// Command plugind is a small daemon around the plugin library, for the stock
// docker command line: it serves docker's plugin and volume endpoints and
// nothing that runs containers.
//
//	plugind --root DIR --exec-root DIR --host unix:///run/plugind.sock
//	docker --host unix:///run/plugind.sock plugin ls
//
// Beside docker's endpoints it has two of its own, with which a volume is
// used as a container would use it:
//
//	POST /volumes/{name}/mount?id=USER      answers {"Mountpoint": path on the host}
//	POST /volumes/{name}/unmount?id=USER
//
// SIGTERM and SIGINT end it cleanly: requests are finished, plugins stopped,
// or left running with --live-restore. A second signal ends it at once.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal is not caught
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "plugind:", err)
		os.Exit(1)
	}
}
