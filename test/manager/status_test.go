//go:build linux

package plugin_test

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

func (w *world) status(ref string) plugin.Status {
	w.t.Helper()
	status, err := w.Status(ref)
	assert.NilError(w.t, err)
	return *status
}

func TestStatusTellsWhatIsReallyTheCase(t *testing.T) {
	w := newWorld(t)
	w.config.Backoff = time.Hour
	w.start()
	id := w.create("p")
	status := w.status("p")
	assert.Equal(t, status.State, "disabled")
	assert.Equal(t, status.ID, id)
	assert.Equal(t, status.Name, "p:latest")
	assert.Check(t, !status.Since.IsZero())
	assert.Check(t, status.LastExit == nil && status.NextRetry == nil)

	w.executor.Behaviour = plugintest.Behaviour{EndsAtOnce: &plugintest.Ending{Code: 4}}
	assert.Check(t, w.Enable(id, nil) != nil)
	status = w.status("p")
	assert.Equal(t, status.State, "disabled")
	assert.Check(t, is.Contains(status.LastError, "code 4"))

	w.executor.Behaviour = plugintest.Behaviour{}
	w.enable(id)
	status = w.status("p")
	assert.Equal(t, status.State, "running")
	assert.Equal(t, status.Pid, os.Getpid())
	assert.Equal(t, status.LastError, "")

	events, cancel := w.SubscribeEvents(10, plugin.EventExited{})
	defer cancel()
	assert.NilError(t, w.executor.Exit(id, 5))
	exited := (<-events).(plugin.EventExited)
	assert.Equal(t, exited.Exit.Code, 5)
	status = w.status("p")
	assert.Equal(t, status.State, "backoff")
	assert.Equal(t, status.LastExit.Code, 5)
	assert.Equal(t, status.Pid, 0)
	assert.Check(t, time.Until(*status.NextRetry) > 45*time.Minute)
	assert.NilError(t, w.Disable(id, nil))
	assert.Equal(t, w.status("p").State, "disabled")

	_, err := w.Status("absent")
	assert.Check(t, is.ErrorType(err, &plugin.NotFoundError{}))
}

func TestEventsOfACrash(t *testing.T) {
	w := newWorld(t).start()
	id := w.create("p")
	w.enable(id)
	events, cancel := w.SubscribeEvents(10, plugin.EventExited{}, plugin.EventRestarted{}, plugin.EventStartFailed{}, plugin.EventSet{})
	defer cancel()
	assert.NilError(t, w.executor.Exit(id, 1))
	assert.Equal(t, (<-events).(plugin.EventExited).Plugin.ID, id)
	assert.Equal(t, (<-events).(plugin.EventRestarted).Plugin.ID, id)
	assert.Equal(t, w.status("p").Restarts, 1)
	assert.NilError(t, w.Disable(id, nil))
	assert.NilError(t, w.Set(id, nil))
	assert.Equal(t, (<-events).(plugin.EventSet).Plugin.ID, id)
	w.executor.Behaviour = plugintest.Behaviour{CreateError: errors.New("no")}
	assert.Check(t, w.Enable(id, nil) != nil)
	failed := (<-events).(plugin.EventStartFailed)
	var start *plugin.StartError
	assert.Check(t, errors.As(failed.Err, &start))
}
