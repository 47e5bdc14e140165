// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/plugins/logdriver"
	"github.com/docker/docker/daemon/logger"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/examples/internal/trial"
)

var container = strings.Repeat("0123456789abcdef", 4)

// TestPlugin logs with docker's own adapter for log plugins.
func TestPlugin(t *testing.T) {
	daemon := trial.NewDaemon(t)
	daemon.Install("example/log")
	daemon.Enable("example/log")
	logger.RegisterPluginGetter(daemon.Store)
	create, err := logger.GetLogDriver("example/log")
	assert.NilError(t, err)
	written, err := create(logger.Info{ContainerID: container})
	assert.NilError(t, err)
	began := time.Now()
	say := func(i int) {
		t.Helper()
		message := logger.NewMessage()
		message.Line, message.Source, message.Timestamp = fmt.Append(nil, "line ", i), "stdout", began.Add(time.Duration(i)*time.Second)
		assert.NilError(t, written.Log(message))
	}
	for i := range 3 {
		say(i)
	}
	reader := written.(logger.LogReader)
	follower := reader.ReadLogs(t.Context(), logger.ReadConfig{Tail: -1, Follow: true})
	for i := range 3 {
		assert.Equal(t, string((<-follower.Msg).Line), fmt.Sprint("line ", i))
	}
	say(3)
	assert.Equal(t, string((<-follower.Msg).Line), "line 3")

	// A plugin that starts again reads on. The end of logging ends the reader, and the
	// next one finds everything.
	daemon.Kill("example/log")
	follower = reader.ReadLogs(t.Context(), logger.ReadConfig{Tail: 1, Follow: true})
	assert.Equal(t, string((<-follower.Msg).Line), "line 3")
	say(4)
	assert.NilError(t, written.Close())
	assert.Equal(t, all(t, follower), "line 4")
	for _, tc := range []struct {
		config logger.ReadConfig
		want   string
	}{
		{logger.ReadConfig{Tail: -1}, "line 0,line 1,line 2,line 3,line 4"},
		{logger.ReadConfig{Tail: -1, Follow: true}, "line 0,line 1,line 2,line 3,line 4"},
		{logger.ReadConfig{Tail: 2}, "line 3,line 4"},
		{logger.ReadConfig{Tail: 0}, ""},
		{logger.ReadConfig{Tail: 9, Since: began.Add(3 * time.Second)}, "line 3,line 4"},
		{logger.ReadConfig{Tail: 1, Until: began.Add(time.Second)}, "line 1"},
	} {
		assert.Equal(t, all(t, reader.ReadLogs(t.Context(), tc.config)), tc.want)
	}
	_, err = create(logger.Info{ContainerID: "../x"})
	assert.ErrorContains(t, err, `container ID "../x" is not one of docker's`)
	daemon.Remove("example/log")
}

// all returns the lines that a reader gets until its end.
func all(t *testing.T, watcher *logger.LogWatcher) string {
	t.Helper()
	var lines []string
	for message := range watcher.Msg {
		lines = append(lines, string(message.Line))
	}
	select {
	case err := <-watcher.Err:
		t.Error(err)
	default:
	}
	return strings.Join(lines, ",")
}

// An entry that a crash left incomplete is dropped, and the next one follows the
// complete ones.
func TestJournalAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	before, err := openJournal(path)
	assert.NilError(t, err)
	for _, line := range []string{"one", "two"} {
		assert.NilError(t, before.add(&logdriver.LogEntry{Line: []byte(line), TimeNano: 1}))
	}
	assert.NilError(t, os.Truncate(path, before.size-1))

	after, err := openJournal(path)
	assert.NilError(t, err)
	assert.NilError(t, after.add(&logdriver.LogEntry{Line: []byte("three"), TimeNano: 1}))
	var lines []string
	err = after.read(context.Background(), readConfig{Tail: -1}, func(entry *logdriver.LogEntry) error {
		lines = append(lines, string(entry.Line))
		return nil
	}, nil)
	assert.NilError(t, err)
	assert.DeepEqual(t, lines, []string{"one", "three"})
}
