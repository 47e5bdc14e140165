// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/containerd/log"
	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"
	"github.com/sirupsen/logrus"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// serveLegacyPlugin serves a plugin of the first generation, with a unique name, where
// docker looks for such plugins.
func serveLegacyPlugin(t *testing.T, implements string) (name string) {
	t.Helper()
	testenv.NeedsRoot(t, "the directory of legacy plugins")
	const dir = "/run/docker/plugins"
	assert.NilError(t, os.MkdirAll(dir, 0o755))
	name = fmt.Sprintf("dovetail-test-%d", os.Getpid())
	servePlugin(t, filepath.Join(dir, name+".sock"), implements)
	return name
}

// servePlugin answers on a socket as a plugin of the first generation does.
func servePlugin(t *testing.T, socket, implements string) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	assert.NilError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(plugins.Manifest{Implements: []string{implements}})
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		assert.Check(t, server.Close())
		<-done
	})
}

func TestLegacyPlugins(t *testing.T) {
	name := serveLegacyPlugin(t, "VolumeDriver")
	ps := NewStore()
	handled := ""
	ps.Handle("VolumeDriver", func(name string, _ *plugins.Client) { handled = name })

	p, err := ps.Get(name, "VolumeDriver", plugingetter.Acquire)
	assert.NilError(t, err)
	assert.Check(t, p.IsV1())
	assert.Equal(t, p.Name(), name)
	assert.Equal(t, p.ScopedPath("/x"), "/x")
	assert.Equal(t, handled, name)
	_, err = ps.Get(name, "NetworkDriver", plugingetter.Lookup)
	assert.Check(t, is.ErrorIs(err, plugins.ErrNotImplements))
	all, err := ps.GetAllByCap("VolumeDriver")
	assert.NilError(t, err)
	// The host may have others.
	assert.Check(t, slices.ContainsFunc(all, func(p plugingetter.CompatPlugin) bool { return p.Name() == name }))

	// docker remembers a plugin that it has used, without its socket.
	assert.NilError(t, os.Remove(filepath.Join("/run/docker/plugins", name+".sock")))
	_, err = ps.Get(name, "VolumeDriver", plugingetter.Lookup)
	assert.NilError(t, err)

	// A managed plugin of the same name goes first, even a disabled one.
	assert.NilError(t, ps.Add(stored(fullID("a"), name+":latest", false, "volumedriver")))
	_, err = ps.Get(name, "VolumeDriver", plugingetter.Lookup)
	assert.Check(t, is.ErrorType(err, &DisabledError{}))
}

// specDirectory makes docker's package look for spec files below a new home. The
// directory itself is not made.
func specDirectory(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("ROOTLESSKIT_STATE_DIR", home)
	return filepath.Join(home, ".local", "lib", "docker", "plugins")
}

// onWait is a hook of the log that is called as a wait for a plugin begins.
type onWait func()

func (f onWait) Levels() []logrus.Level { return []logrus.Level{logrus.WarnLevel} }

func (f onWait) Fire(entry *logrus.Entry) error {
	if entry.Data["plugin"] == "dovetail-late" {
		f()
	}
	return nil
}

func whenWaiting(t *testing.T, act func()) {
	t.Helper()
	before := log.L.Logger.ReplaceHooks(logrus.LevelHooks{})
	log.L.Logger.AddHook(onWait(act))
	t.Cleanup(func() { log.L.Logger.ReplaceHooks(before) })
}

// writeSpec makes the spec file of a plugin, and serves the plugin on a socket.
func writeSpec(t *testing.T, path string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s.sock")
	servePlugin(t, socket, "VolumeDriver")
	assert.Check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	assert.Check(t, os.WriteFile(path, []byte("unix://"+socket), 0o600))
}

// TestLateLegacyPlugin looks up a plugin whose spec file, and its directory, are
// made once the look-up waits.
func TestLateLegacyPlugin(t *testing.T) {
	directory := specDirectory(t)
	waits := 0
	whenWaiting(t, func() {
		waits++
		writeSpec(t, filepath.Join(directory, "dovetail-late.spec"))
	})
	for _, mode := range []int{plugingetter.Acquire, plugingetter.Lookup} {
		found, err := NewStore().Get("dovetail-late", "VolumeDriver", mode)
		assert.NilError(t, err)
		assert.Check(t, found.IsV1())
	}
	assert.Equal(t, waits, 1, "the second look-up finds the file")
}

// TestWaitsForLegacyPluginsEnd lists what is not waited for, and what ends a wait.
func TestWaitsForLegacyPluginsEnd(t *testing.T) {
	directory := specDirectory(t)
	waits := 0
	whenWaiting(t, func() { waits++ })
	halted, halt := context.WithCancel(context.Background())
	halt()

	cases := []struct {
		name   string
		plugin string
		wait   time.Duration
		halted context.Context
		mode   int
		want   int
	}{
		{"a name with a slash", "dovetail/late", 0, nil, plugingetter.Lookup, 0},
		{"a name with a tag", "dovetail-late:latest", 0, nil, plugingetter.Lookup, 0},
		{"a release", "dovetail-late", 0, nil, plugingetter.Release, 0},
		{"a negative wait", "dovetail-late", -1, nil, plugingetter.Lookup, 0},
		{"the time is up", "dovetail-late", 1, nil, plugingetter.Lookup, 1},
		{"the manager ends", "dovetail-late", 0, halted, plugingetter.Lookup, 1},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			waits = 0
			ps := NewStore()
			ps.legacy.Serve(tc.wait, tc.halted)
			_, err := ps.Get(tc.plugin, "VolumeDriver", tc.mode)
			assert.Check(t, is.ErrorType(err, &NotFoundError{}))
			assert.Equal(t, waits, tc.want)
		})
	}

	t.Run("a file that can't be read", func(t *testing.T) {
		assert.NilError(t, os.MkdirAll(directory, 0o755))
		assert.NilError(t, os.WriteFile(filepath.Join(directory, "dovetail-late.json"), []byte(`{"Addr":7}`), 0o600))
		ps := NewStore()
		ps.legacy.Serve(1, nil)
		_, err := ps.Get("dovetail-late", "VolumeDriver", plugingetter.Lookup)
		assert.Check(t, is.ErrorType(err, &LegacyError{}))
		assert.Check(t, is.ErrorContains(err, `read file of "dovetail-late"`))
	})
}
