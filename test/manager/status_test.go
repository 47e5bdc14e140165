// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
)

func TestStatusShowsTheActualState(t *testing.T) {
	w := newWorld(t)
	w.Config.Backoff = time.Hour
	w.start()
	id := w.Create("p")
	status := w.MustStatus("p")
	assert.Equal(t, status.State, "disabled")
	assert.Equal(t, status.ID, id)
	assert.Equal(t, status.Name, "p:latest")
	assert.Check(t, !status.Since.IsZero())
	assert.Check(t, status.LastExit == nil && status.NextRetry == nil)

	w.Executor.Behaviour = plugintest.Behaviour{EndsAtOnce: &plugintest.Ending{Code: 4}}
	assert.Check(t, w.Enable(id, nil) != nil)
	status = w.MustStatus("p")
	assert.Equal(t, status.State, "disabled")
	assert.Check(t, is.Contains(status.LastError, "code 4"))

	w.Executor.Behaviour = plugintest.Behaviour{}
	w.MustEnable(id)
	status = w.MustStatus("p")
	assert.Equal(t, status.State, "running")
	assert.Equal(t, status.Pid, os.Getpid())
	assert.Equal(t, status.LastError, "")

	events, cancel := w.SubscribeEvents(10, plugin.EventExited{})
	defer cancel()
	assert.NilError(t, w.Executor.Exit(id, 5))
	exited := (<-events).(plugin.EventExited)
	assert.Equal(t, exited.Exit.Code, 5)
	status = w.MustStatus("p")
	assert.Equal(t, status.State, "backoff")
	assert.Equal(t, status.LastExit.Code, 5)
	assert.Equal(t, status.Pid, 0)
	assert.Check(t, time.Until(*status.NextRetry) > 45*time.Minute)
	assert.NilError(t, w.Disable(id, nil))
	assert.Equal(t, w.MustStatus("p").State, "disabled")

	_, err := w.Status("absent")
	assert.Check(t, is.ErrorType(err, &plugin.NotFoundError{}))
}

func TestEventsOfACrash(t *testing.T) {
	w := newWorld(t).start()
	id := w.Create("p")
	w.MustEnable(id)
	events, cancel := w.SubscribeEvents(10, plugin.EventExited{}, plugin.EventRestarted{}, plugin.EventStartFailed{}, plugin.EventSet{})
	defer cancel()
	assert.NilError(t, w.Executor.Exit(id, 1))
	assert.Equal(t, (<-events).(plugin.EventExited).Plugin.ID, id)
	assert.Equal(t, (<-events).(plugin.EventRestarted).Plugin.ID, id)
	assert.Equal(t, w.MustStatus("p").Restarts, 1)
	assert.NilError(t, w.Disable(id, nil))
	assert.NilError(t, w.Set(id, nil))
	assert.Equal(t, (<-events).(plugin.EventSet).Plugin.ID, id)
	w.Executor.Behaviour = plugintest.Behaviour{CreateError: errors.New("no")}
	assert.Check(t, w.Enable(id, nil) != nil)
	failed := (<-events).(plugin.EventStartFailed)
	var start *plugin.StartError
	assert.Check(t, errors.As(failed.Err, &start))
}
