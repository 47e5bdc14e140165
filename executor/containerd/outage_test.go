// SPDX-License-Identifier: Apache-2.0

//go:build linux

package containerd_test

import (
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/executor/internal/attend/attendtest"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// The executor reports runs that ended while containerd was down once containerd is
// back.
func TestContainerdRestarts(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	tests := []struct {
		name string
		// outage calls end, which ends the run, before, during or after it.
		outage func(t *testing.T, d *daemon, end func())
		known  bool
	}{
		{"run ends during the outage", func(t *testing.T, d *daemon, end func()) {
			d.kill()
			end()
			d.start()
		}, false},
		{"run ends after the outage", func(t *testing.T, d *daemon, end func()) {
			d.kill()
			d.start()
			d.awaitServing()
			end()
		}, true},
		{"two outages", func(t *testing.T, d *daemon, end func()) {
			for range 2 {
				d.kill()
				d.start()
				d.awaitServing()
			}
			end()
		}, true},
		{"no outage, but the client reconnects", func(t *testing.T, d *daemon, end func()) {
			assert.NilError(t, d.client.Reconnect())
			end()
		}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			executortest.VerifyNoLeaks(t)
			d := startDaemon(t)
			root, ended, id, stdout := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewID(), attendtest.NewOutput()
			other := attendtest.NewID()
			e := d.newExecutor(root, ended)
			defer e.Close()
			pull := attendtest.Trigger(t, rootfs, id[:8])
			assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "out=up", "step=/"+id[:8], "out=bye", "exit=5"), stdout, attendtest.NewOutput()))
			assert.NilError(t, e.Create(other, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput()))
			stdout.AwaitText(t, "up\n")
			pid, ok := e.Pid(id)
			assert.Assert(t, ok)
			awaitDeath := testenv.WatchProcess(t, pid)

			test.outage(t, d, func() {
				pull()
				awaitDeath()
			})
			ended.Await(t, id)
			assert.Equal(t, stdout.All(t), "up\nbye\n")
			code, _, known := e.LastExit(id)
			if test.known {
				assert.Assert(t, known)
			}
			if known {
				assert.Equal(t, code, 5)
			}
			alive, err := e.IsRunning(other)
			assert.NilError(t, err)
			assert.Assert(t, alive)
			assert.NilError(t, e.Signal(other, syscall.SIGKILL))
			ended.Await(t, other)
			assert.Equal(t, len(ended), 0, "an end was reported twice")
			d.assertNothingLeft(root)
		})
	}
}

// A call that finds containerd down, or its connection broken, waits for the next
// containerd.
func TestCallsOutlastARestart(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	d := startDaemon(t)
	root, ended, id, other := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewID(), attendtest.NewID()
	e := d.newExecutor(root, ended)
	defer e.Close()
	calls := map[string]func() error{
		"Create": func() error {
			return e.Create(other, executortest.Spec(rootfs), attendtest.NewOutput(), attendtest.NewOutput())
		},
		"Restore": func() error {
			_, err := e.Restore(other, attendtest.NewOutput(), attendtest.NewOutput())
			return err
		},
		"IsRunning": func() error {
			_, err := e.IsRunning(other)
			if errdefs.IsNotFound(err) {
				return nil
			}
			return err
		},
		"Signal": func() error { return e.Signal(id, syscall.SIGTERM) },
	}
	for _, name := range []string{"Restore", "IsRunning", "Create", "Signal"} {
		t.Run(name, func(t *testing.T) {
			if name == "Signal" {
				assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput()))
			}
			d.kill()
			result := make(chan error, 1)
			go func() { result <- calls[name]() }()
			d.start()
			assert.NilError(t, <-result)
			switch name {
			case "Create":
				ended.Await(t, other)
			case "Signal":
				ended.Await(t, id)
			}
		})
	}
	d.assertNothingLeft(root)
}

// A shim can die before its task. Then no event reports the end of the task.
func TestAShimIsKilled(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	d := startDaemon(t)
	root, ended, id := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewID()
	e := d.newExecutor(root, ended)
	defer e.Close()
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput()))
	pid, ok := e.Pid(id)
	assert.Assert(t, ok)
	awaitDeath := testenv.WatchProcess(t, pid)
	assert.NilError(t, syscall.Kill(testenv.ParentOf(t, pid), syscall.SIGKILL))
	ended.Await(t, id)
	awaitDeath()
	d.assertNothingLeft(root)
}
