// SPDX-License-Identifier: Apache-2.0

//go:build linux

package drive

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/filters"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
	"github.com/dovetailhq/plugin/test/crash/history"
)

// open returns Dovetail's manager as a subject.
func open(t *testing.T) (Subject, Paths) {
	t.Helper()
	executortest.VerifyNoLeaks(t)
	execRoot, err := os.MkdirTemp("", "dt")
	assert.NilError(t, err)
	executor := &plugintest.Executor{}
	t.Cleanup(func() {
		executor.KillAll()
		assert.Check(t, os.RemoveAll(execRoot))
	})
	return Subject{
		Open: func(paths Paths) (Manager, error) {
			return plugin.NewManager(plugin.ManagerConfig{
				Root: paths.Root, ExecRoot: paths.ExecRoot,
				CreateExecutor: func(pm *plugin.Manager) (plugin.Executor, error) {
					executor.HandleExits(func(id string) { _ = pm.HandleExitEvent(id) })
					return executor, nil
				},
			})
		},
		Check: func(Paths, Manager) []string { return []string{"checked"} },
	}, Paths{Root: filepath.Join(t.TempDir(), "root"), ExecRoot: execRoot}
}

func turnsOf(count int) <-chan struct{} {
	turns := make(chan struct{}, count)
	for range count {
		turns <- struct{}{}
	}
	close(turns)
	return turns
}

func TestDriverReportsWhatItDoes(t *testing.T) {
	subject, paths := open(t)
	manager, err := subject.Open(paths)
	assert.NilError(t, err)
	defer manager.Shutdown()
	const verbsCalled = 60
	var out bytes.Buffer
	d := &driver{manager: manager, turns: turnsOf(verbsCalled), out: json.NewEncoder(&out)}
	assert.NilError(t, d.drive(1, 3))

	ledger := history.NewLedger(nil)
	events := 0
	for decoder := json.NewDecoder(&out); ; events++ {
		var event history.Event
		err := decoder.Decode(&event)
		if errors.Is(err, io.EOF) {
			break
		}
		assert.NilError(t, err)
		ledger.Record(event)
	}
	assert.Equal(t, events, 2*verbsCalled)
	assert.Equal(t, len(ledger.Problems), 0, "%s", ledger.Problems)
	found, err := Observe(manager)
	assert.NilError(t, err)
	assert.Check(t, len(found) > 0)
	assert.Equal(t, len(ledger.Compare(found, history.Always, history.Always)), 0)

	// The next driver continues with the same directories.
	d = &driver{manager: manager, turns: turnsOf(verbsCalled), out: json.NewEncoder(&out)}
	assert.NilError(t, d.drive(2, 3))
	ledger = history.NewLedger(found)
	for decoder := json.NewDecoder(&out); decoder.More(); {
		var event history.Event
		assert.NilError(t, decoder.Decode(&event))
		ledger.Record(event)
	}
	assert.Equal(t, len(ledger.Problems), 0, "%s", ledger.Problems)
}

func TestDriverStopsWithoutAReader(t *testing.T) {
	subject, paths := open(t)
	manager, err := subject.Open(paths)
	assert.NilError(t, err)
	defer manager.Shutdown()
	in, out := io.Pipe()
	assert.NilError(t, in.Close())
	d := &driver{manager: manager, turns: turnsOf(100), out: json.NewEncoder(out)}
	assert.ErrorIs(t, d.drive(1, 2), io.ErrClosedPipe)
}

func TestLook(t *testing.T) {
	subject, paths := open(t)
	manager, err := subject.Open(paths)
	assert.NilError(t, err)
	options := &types.PluginCreateOptions{RepoName: "p"}
	assert.NilError(t, manager.CreateFromContext(t.Context(), Versions{}.BuildContext("v2"), options))
	assert.NilError(t, manager.Set("p", []string{"DEBUG=9"}))
	assert.NilError(t, manager.Enable("p", nil))
	manager.Shutdown()
	assert.DeepEqual(t, look(subject, paths), Observation{
		Plugins:  map[string]history.State{"p:latest": {Installed: true, Enabled: true, Debug: "9", Version: "v2"}},
		Problems: []string{"checked"},
	})
	subject.Open = func(Paths) (Manager, error) { return nil, errors.New("no way") }
	assert.Equal(t, look(subject, paths).Error, "no way")
	subject.Open = func(Paths) (Manager, error) { return blind{}, nil }
	assert.Equal(t, look(subject, paths).Error, "blind")
	assert.ErrorContains(t, (&driver{manager: blind{}}).drive(1, 1), "blind")
}

// blind is a manager that fails to list.
type blind struct{ Manager }

func (blind) List(filters.Args) ([]types.Plugin, error) { return nil, errors.New("blind") }
func (blind) GC()                                       {}
func (blind) Shutdown()                                 {}

func TestTurns(t *testing.T) {
	steps := turns(true, strings.NewReader("ab"))
	count := 0
	for range steps {
		count++
	}
	assert.Equal(t, count, 2)
}

func TestBuildContextIsItsVersion(t *testing.T) {
	read := func(version string) string {
		data, err := io.ReadAll(Versions{}.BuildContext(version))
		assert.NilError(t, err)
		return string(data)
	}
	first, again := read("v1"), read("v1")
	assert.Check(t, first == again)
	assert.Check(t, read("v1") != read("v2"))
}

func TestVersionsComeInLayers(t *testing.T) {
	files := map[string]string{"plugin": "x"}
	assert.DeepEqual(t, Versions{OneLayer: true}.layers(files), []map[string]string{files})
	layers := Versions{}.layers(files)
	assert.Equal(t, len(layers), 2)
	assert.Check(t, layers[0]["plugin"] != "x")
	assert.DeepEqual(t, layers[1], map[string]string{"plugin": "x", "data/.wh.draft": ""})
}

func TestDifferences(t *testing.T) {
	dir := t.TempDir()
	assert.Equal(t, len(Versions{}.Differences(dir, "v1")), 5, "nothing is there")
	_, files := Versions{}.content("v1")
	for name, content := range files {
		assert.NilError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		assert.NilError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	assert.Equal(t, len(Versions{}.Differences(dir, "v1")), 0)
	assert.NilError(t, os.WriteFile(filepath.Join(dir, "data", "draft"), nil, 0o600))
	assert.NilError(t, os.Truncate(filepath.Join(dir, "plugin"), 3))
	assert.DeepEqual(t, Versions{}.Differences(dir, "v1"), []string{
		filepath.Join(dir, "plugin") + " is not of version v1", filepath.Join(dir, "data", "draft") + " should be deleted",
	})
}

func TestDebugOf(t *testing.T) {
	assert.Equal(t, debugOf([]string{"PATH=/", "DEBUG=1"}), "1")
	assert.Equal(t, debugOf([]string{"DEBUG", "DEBUG="}), "")
	assert.Equal(t, debugOf(nil), "")
}
