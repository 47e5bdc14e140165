//go:build linux

package containerd_test

import (
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// What happens while containerd is down is learnt when it is back.
func TestContainerdRestarts(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	tests := []struct {
		name string
		// end ends the run: before, while or after containerd is down.
		outage func(t *testing.T, d *daemon, end func())
		known  bool
	}{
		{"and the run ends meanwhile", func(t *testing.T, d *daemon, end func()) {
			d.kill()
			end()
			d.start()
		}, false},
		{"and the run ends later", func(t *testing.T, d *daemon, end func()) {
			d.kill()
			d.start()
			d.awaitServing()
			end()
		}, true},
		{"twice", func(t *testing.T, d *daemon, end func()) {
			for range 2 {
				d.kill()
				d.start()
				d.awaitServing()
			}
			end()
		}, true},
		{"just not, but the client connects anew", func(t *testing.T, d *daemon, end func()) {
			assert.NilError(t, d.client.Reconnect())
			end()
		}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			executortest.VerifyNoLeaks(t)
			d := startDaemon(t)
			root, ended, id, stdout := t.TempDir(), make(exits, 1), newID(), newOutput()
			other := newID()
			e := d.newExecutor(root, ended)
			defer e.Close()
			pull := trigger(t, rootfs, id[:8])
			assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "out=up", "step=/"+id[:8], "out=bye", "exit=5"), stdout, newOutput()))
			assert.NilError(t, e.Create(other, executortest.Spec(rootfs, "wait="), newOutput(), newOutput()))
			stdout.awaitText(t, "up\n")
			pid, ok := e.Pid(id)
			assert.Assert(t, ok)
			awaitDeath := watchProcess(t, pid)

			test.outage(t, d, func() {
				pull()
				awaitDeath()
			})
			ended.await(t, id)
			assert.Equal(t, stdout.all(t), "up\nbye\n")
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
			ended.await(t, other)
			assert.Equal(t, len(ended), 0, "an end was reported twice")
			d.assertNothingLeft(root)
		})
	}
}

// A call that finds containerd gone, or only its old connection, waits for the
// next one.
func TestCallsOutlastARestart(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	d := startDaemon(t)
	root, ended, id, other := t.TempDir(), make(exits, 1), newID(), newID()
	e := d.newExecutor(root, ended)
	defer e.Close()
	calls := map[string]func() error{
		"Create": func() error {
			return e.Create(other, executortest.Spec(rootfs), newOutput(), newOutput())
		},
		"Restore": func() error {
			_, err := e.Restore(other, newOutput(), newOutput())
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
				assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), newOutput(), newOutput()))
			}
			d.kill()
			result := make(chan error, 1)
			go func() { result <- calls[name]() }()
			d.start()
			assert.NilError(t, <-result)
			switch name {
			case "Create":
				ended.await(t, other)
			case "Signal":
				ended.await(t, id)
			}
		})
	}
	d.assertNothingLeft(root)
}

// The task's shim may go before the task: nobody is left to tell of its end.
func TestAShimIsKilled(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	d := startDaemon(t)
	root, ended, id := t.TempDir(), make(exits, 1), newID()
	e := d.newExecutor(root, ended)
	defer e.Close()
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), newOutput(), newOutput()))
	pid, ok := e.Pid(id)
	assert.Assert(t, ok)
	awaitDeath := watchProcess(t, pid)
	assert.NilError(t, syscall.Kill(parentOf(t, pid), syscall.SIGKILL))
	ended.await(t, id)
	awaitDeath()
	d.assertNothingLeft(root)
}
