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
// SIGTERM, SIGINT and SIGHUP end it cleanly: requests are finished, plugins
// stopped, or left running with --live-restore. A second signal ends it at once.
// There is no configuration to read again, and a terminal that is closed must
// not leave plugins behind that nothing manages; under nohup, SIGHUP is ignored.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

func main() {
	if err := newCommand().ExecuteContext(untilSignal()); err != nil {
		fmt.Fprintln(os.Stderr, "plugind:", plaintext.Error(err))
		os.Exit(1)
	}
}

// untilSignal returns a context that ends with the first signal to end. From
// then on a second one does what it does to any process.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		<-signals
		signal.Stop(signals)
		cancel()
	}()
	return ctx
}
