// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/executor/internal/attend/attendtest"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// leave makes a daemon start a run of the probe and crash.
func leave(t *testing.T, root, rootfs, id string, steps ...string) {
	t.Helper()
	d := startDaemon(t, "runc", root, rootfs, id, append([]string{"out=up"}, steps...)...)
	d.awaitLines("up", "created")
	d.kill()
}

func TestNewLeavesTheLivingAlone(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id, ended := t.TempDir(), attendtest.NewID(), make(attendtest.Exits, 1)
	leave(t, root, rootfs, id, "wait=")
	for range 2 {
		e := newExecutor(t, "runc", root, ended)
		alive, err := e.IsRunning(id)
		assert.NilError(t, err)
		assert.Assert(t, alive)
		_, known := e.Pid(id)
		assert.Assert(t, !known, "it was not restored yet")
		assert.NilError(t, e.Close())
	}
	e := newExecutor(t, "runc", root, ended)
	defer e.Close()
	alive, err := e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive)
	pid, known := e.Pid(id)
	assert.Assert(t, known)
	killProcess(t, pid)
	ended.Await(t, id)
}

func TestNewRemovesTheDead(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id := t.TempDir(), attendtest.NewID()
	pull := attendtest.Trigger(t, rootfs, "go")
	leave(t, root, rootfs, id, "step=/go")
	awaitDeath := testenv.WatchProcess(t, recordedInit(t, root, id))
	pull()
	awaitDeath()
	// More stages of a crash: before there was a record, when there was nothing
	// else yet, and when nothing but the runtime's state was left.
	assert.NilError(t, os.Mkdir(filepath.Join(root, "bundles", attendtest.NewID()), 0o700))
	empty := filepath.Join(root, "bundles", attendtest.NewID())
	assert.NilError(t, os.Mkdir(empty, 0o700))
	assert.NilError(t, os.WriteFile(filepath.Join(empty, "run.json"), nil, 0o600))
	assert.NilError(t, os.Mkdir(filepath.Join(root, "runtime", attendtest.NewID()), 0o700))

	assert.NilError(t, newExecutor(t, "runc", root, make(attendtest.Exits)).Close())
	assertNothingLeft(t, root)
}

func recordedInit(t *testing.T, root, id string) (pid int) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "bundles", id, "run.json"))
	assert.NilError(t, err)
	var record struct{ Init struct{ PID int } }
	assert.NilError(t, json.Unmarshal(content, &record))
	assert.Assert(t, record.Init.PID > 1, "%s", content)
	return record.Init.PID
}

// A container without a bundle is what a crash leaves between the two steps
// of clearing an unfinished Create.
func TestNewEndsAContainerWithoutABundle(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id, alive := t.TempDir(), attendtest.NewID(), lifeline(t, rootfs, "alive")
	bundle := t.TempDir()
	spec := executortest.Spec(rootfs, "hold=/alive", "tell=/up", "wait=")
	spec.Version = "1.0.2"
	config, err := json.Marshal(spec)
	assert.NilError(t, err)
	assert.NilError(t, os.WriteFile(filepath.Join(bundle, "config.json"), config, 0o600))
	await := notice(t, rootfs, "up")
	assert.NilError(t, exec.Command("runc", "--root", filepath.Join(root, "runtime"), "run", "--detach", "--bundle", bundle, id).Run())
	await()

	assert.NilError(t, newExecutor(t, "runc", root, make(attendtest.Exits)).Close())
	awaitEnd(t, alive)
	assert.NilError(t, os.MkdirAll(filepath.Join(root, "bundles"), 0o700))
	assertNothingLeft(t, root)
}

// The kernel reuses PIDs. A record that names an unrelated process, here the test
// itself, does not end that process.
func TestARecordOfAnotherTimeKillsNoProcess(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	edits := map[string]func(record map[string]any){
		"another process":  func(record map[string]any) { setPID(record, "init"); setPID(record, "runtime") },
		"another boot":     func(record map[string]any) { setPID(record, "init"); record["boot"] = "yesterday" },
		"no process":       func(record map[string]any) { delete(record, "init"); delete(record, "runtime") },
		"a negative pid":   func(record map[string]any) { record["init"] = map[string]any{"pid": -1, "start": 1} },
		"nothing readable": func(record map[string]any) { record["init"] = "me" },
	}
	for name, edit := range edits {
		t.Run(name, func(t *testing.T) {
			executortest.VerifyNoLeaks(t)
			root, id := t.TempDir(), attendtest.NewID()
			alive := lifeline(t, rootfs, "alive-"+id)
			leave(t, root, rootfs, id, "hold=/alive-"+id, "wait=")
			editRecord(t, root, id, edit)

			e := newExecutor(t, "runc", root, make(attendtest.Exits))
			defer e.Close()
			running, err := e.IsRunning(id)
			assert.NilError(t, err)
			assert.Assert(t, !running)
			// Whom the record does not name, the runtime still knows.
			awaitEnd(t, alive)
			assertNothingLeft(t, root)
		})
	}
}

func setPID(record map[string]any, who string) {
	record[who].(map[string]any)["pid"] = os.Getpid()
}

func TestNothingForeignIsRemoved(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root := t.TempDir()
	foreign := filepath.Join(root, "bundles", "theirs")
	assert.NilError(t, os.MkdirAll(foreign, 0o755))
	files := map[string]string{
		filepath.Join(foreign, "config.json"):    "their config",
		filepath.Join(foreign, "pid"):            "1",
		filepath.Join(root, "bundles", "a-file"): "their file",
		filepath.Join(root, "notes.txt"):         "their notes",
	}
	for path, content := range files {
		assert.NilError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	e := newExecutor(t, "runc", root, make(attendtest.Exits))
	defer e.Close()
	for _, id := range []string{"theirs", "a-file"} {
		alive, err := e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
		assert.NilError(t, err)
		assert.Assert(t, !alive)
		err = e.Create(id, executortest.Spec(rootfs), attendtest.NewOutput(), attendtest.NewOutput())
		assert.ErrorContains(t, err, filepath.Join(root, "bundles", id))
	}
	for path, want := range files {
		content, err := os.ReadFile(path)
		assert.NilError(t, err)
		assert.Equal(t, string(content), want)
	}
}

// A file in a bundle that the executor did not make stays. The rest is deleted.
func TestAForeignFileInABundleStays(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id, ended := t.TempDir(), attendtest.NewID(), make(attendtest.Exits, 1)
	e := newExecutor(t, "runc", root, ended)
	defer e.Close()
	pull := attendtest.Trigger(t, rootfs, "go")
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "step=/go"), attendtest.NewOutput(), attendtest.NewOutput()))
	note := filepath.Join(root, "bundles", id, "note.txt")
	assert.NilError(t, os.WriteFile(note, nil, 0o600))
	pull()
	ended.Await(t, id)
	entries, err := os.ReadDir(filepath.Dir(note))
	assert.NilError(t, err)
	assert.Equal(t, len(entries), 1)
	assert.Equal(t, entries[0].Name(), "note.txt")
}
