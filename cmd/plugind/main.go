// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command plugind is a small daemon around the plugin library, for the stock
// docker command line. It serves docker's plugin and volume endpoints, and
// nothing that runs containers.
//
//	plugind --root DIR --exec-root DIR --host unix:///run/plugind.sock
//	docker --host unix:///run/plugind.sock plugin ls
//
// Two commands need no docker: plugind build makes a plugin of a directory, an image
// or a Go package, and plugind import asks the daemon to import plugins of docker
// 1.12. Each lists its flags with --help.
//
// Two more endpoints use a volume as a container would:
//
//	POST /volumes/{name}/mount?id=USER      answers {"Mountpoint": path on the host}
//	POST /volumes/{name}/unmount?id=USER
//
// A third one imports plugins of docker 1.12, for the command plugind import:
//
//	POST /plugins/import?dir=DIR[&name=NAME]
//
// SIGTERM, SIGINT and SIGHUP end plugind cleanly: requests are finished, and
// plugins are stopped, or left running with --live-restore. That takes 80 s at
// most, whatever hangs. A second SIGTERM or SIGINT ends plugind at once. SIGHUP ends
// it because there is no configuration to reload, and because a closed terminal must
// not leave plugins that no daemon manages. A second SIGHUP has no effect: both the
// shell and the kernel send SIGHUP when a terminal is closed. Under nohup SIGHUP is
// ignored.
//
// SIGPIPE has no effect: plugind and its plugins outlive the reader of its log, such
// as a journald that restarts.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

func main() { os.Exit(exitCode(os.Stderr, newCommand().ExecuteContext(untilSignal()))) }

// printTime bounds the print of plugind's error, because the reader of a pipe or a
// terminal can pause.
const printTime = time.Second

// exitCode prints err to out, if there is one, and returns the exit code of plugind.
func exitCode(out io.Writer, err error) int {
	if err == nil {
		return 0
	}
	bounded.Within(printTime, func() bool {
		fmt.Fprintln(out, "plugind:", plaintext.Error(err))
		return true
	})
	return 1
}

// untilSignal returns a context that ends with the first signal that ends
// plugind. A second SIGTERM or SIGINT has its default effect. Later SIGHUPs stay
// without effect, as a closed terminal sends more than one.
func untilSignal() context.Context {
	outliveReaders()
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		<-signals
		signal.Reset(os.Interrupt, syscall.SIGTERM)
		cancel()
	}()
	return ctx
}

// outliveReaders keeps a write to a log or a terminal whose reader is gone from ending
// this process. SIGPIPE is caught, because ignored signals stay ignored in plugins.
func outliveReaders() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
