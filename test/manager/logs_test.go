// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
)

// writer returns a plugin that writes each of lines.
func writer(lines <-chan string) plugintest.Behaviour {
	return plugintest.Behaviour{Program: func(run *plugintest.Run) int {
		socket, err := listen(run)
		if err != nil {
			return 1
		}
		defer socket.Close()
		for {
			select {
			case line, ok := <-lines:
				if !ok {
					return 0
				}
				fmt.Fprintln(run.Stdout, line)
			case <-run.Signals():
				return 0
			case <-run.Killed():
				return 137
			}
		}
	}}
}

func listen(run *plugintest.Run) (net.Listener, error) {
	for _, mount := range run.Spec.Mounts {
		if mount.Destination == "/run/docker/plugins" {
			return net.Listen("unix", filepath.Join(mount.Source, "plugin.sock"))
		}
	}
	return nil, errors.New("the spec has no directory for sockets")
}

func TestLogs(t *testing.T) {
	w := newWorld(t)
	w.Executor.Behaviour = plugintest.Behaviour{EndsAtOnce: &plugintest.Ending{
		Code: 1, Stdout: "one\ntwo\n", Stderr: "three, without end of line",
	}}
	w.start()
	id := w.Create("p")
	assert.Check(t, w.Enable(id, nil) != nil)
	all := []string{"stdout one", "stdout two", "stderr three, without end of line"}
	assert.DeepEqual(t, w.MustLogs("p", plugin.LogOptions{}), all)
	assert.DeepEqual(t, w.MustLogs("p", plugin.LogOptions{Tail: 1}), all[2:])
	assert.Equal(t, len(w.MustLogs("p", plugin.LogOptions{Tail: -1})), 0)
	assert.Equal(t, len(w.MustLogs("p", plugin.LogOptions{Since: time.Now()})), 0)
	w.restart()
	assert.DeepEqual(t, w.MustLogs("p", plugin.LogOptions{}), all)
	_, err := w.Logs(context.Background(), "absent", plugin.LogOptions{})
	assert.Check(t, is.ErrorType(err, &plugin.NotFoundError{}))
}

func TestStartErrorQuotesTheLastLines(t *testing.T) {
	w := newWorld(t)
	var written strings.Builder
	var last []string
	for i := range 50 {
		fmt.Fprintln(&written, "line", i)
		if i >= 30 {
			last = append(last, fmt.Sprint("line ", i))
		}
	}
	w.Executor.Behaviour = plugintest.Behaviour{EndsAtOnce: &plugintest.Ending{Code: 1, Stdout: written.String()}}
	w.start()
	var start *plugin.StartError
	assert.Assert(t, errors.As(w.Enable(w.Create("p"), nil), &start))
	assert.DeepEqual(t, start.Output, last)
}

func TestOutputGoesToTheDaemonsLog(t *testing.T) {
	var log recorder
	log.recordLog(t)
	w := newWorld(t)
	w.Executor.Behaviour = plugintest.Behaviour{EndsAtOnce: &plugintest.Ending{Stdout: "all is well\n", Stderr: "or not\n"}}
	w.start()
	id := w.Create("p")
	assert.Check(t, w.Enable(id, nil) != nil)
	log.mu.Lock()
	defer log.mu.Unlock()
	for _, want := range []string{"log info: all is well", "log error: or not"} {
		assert.Check(t, is.Contains(log.entries, fmt.Sprintf("%s map[name:p:latest plugin:%s]", want, id)))
	}
}

func TestLogsFollow(t *testing.T) {
	w := newWorld(t)
	lines := make(chan string)
	w.Executor.Behaviour = writer(lines)
	w.start()
	id := w.Create("p")
	w.MustEnable(id)
	lines <- "before"
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	followed, err := w.Logs(ctx, id, plugin.LogOptions{Follow: true})
	assert.NilError(t, err)
	var seen []string
	for line, err := range followed {
		if err != nil {
			assert.Check(t, is.ErrorIs(err, context.Canceled))
			break
		}
		seen = append(seen, line.Text)
		switch line.Text {
		case "before":
			lines <- "after"
		case "after":
			cancel()
		}
	}
	assert.DeepEqual(t, seen, []string{"before", "after"})

	// A reader that is far behind gets the number of missed lines, and delays nothing.
	followed, err = w.Logs(context.Background(), id, plugin.LogOptions{Follow: true, Tail: 1})
	assert.NilError(t, err)
	seen = nil
	for line, err := range followed {
		assert.NilError(t, err)
		if len(seen) == 0 {
			for i := range 3000 {
				lines <- fmt.Sprint("line ", i)
			}
			assert.NilError(t, w.Disable(id, nil))
			assert.NilError(t, w.Remove(id, nil))
		}
		seen = append(seen, line.Text)
	}
	assert.Equal(t, len(seen), 1002)
	assert.Equal(t, seen[1], "2000 lines were missed")
	assert.Equal(t, seen[1001], "line 2999")
}

func TestLogFilesAreBounded(t *testing.T) {
	w := newWorld(t)
	lines := make(chan string)
	w.Executor.Behaviour = writer(lines)
	w.start()
	id := w.Create("p")
	w.MustEnable(id)
	for range 500 {
		lines <- strings.Repeat("x", 12<<10)
	}
	assert.NilError(t, w.Disable(id, nil))
	files, err := filepath.Glob(filepath.Join(w.Config.Root, id, "output.log*"))
	assert.NilError(t, err)
	assert.Equal(t, len(files), 2)
	for _, file := range files {
		info, err := os.Stat(file)
		assert.NilError(t, err)
		assert.Check(t, info.Size() < 1<<20+64<<10, "%s has %d bytes", file, info.Size())
	}
	kept := w.MustLogs(id, plugin.LogOptions{})
	assert.Check(t, len(kept) > 80 && len(kept) < 200, "%d lines", len(kept))
}

func TestCutLogFileIsRead(t *testing.T) {
	w := newWorld(t)
	w.Executor.Behaviour = plugintest.Behaviour{EndsAtOnce: &plugintest.Ending{Stdout: "whole\n"}}
	w.start()
	id := w.Create("p")
	path := filepath.Join(w.Config.Root, id, "output.log")
	assert.NilError(t, os.WriteFile(path, []byte("{\"log\":\"cut by a cra\n"), 0o600))
	var start *plugin.StartError
	assert.Check(t, errors.As(w.Enable(id, nil), &start))
	assert.DeepEqual(t, w.MustLogs(id, plugin.LogOptions{}), []string{"stdout whole"})
}
