package plugin

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// legacyPlugin serves a plugin of the first generation where docker looks for
// them, under a name that nobody else has.
func legacyPlugin(t *testing.T, implements string) (name string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("the directory of legacy plugins is root's")
	}
	const dir = "/run/docker/plugins"
	assert.NilError(t, os.MkdirAll(dir, 0o755))
	name = fmt.Sprintf("dovetail-test-%d", os.Getpid())
	listener, err := net.Listen("unix", filepath.Join(dir, name+".sock"))
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
	return name
}

func TestLegacyPlugins(t *testing.T) {
	name := legacyPlugin(t, "VolumeDriver")
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
	assert.Equal(t, len(all), 1)

	// docker remembers a plugin that it has used, without its socket.
	assert.NilError(t, os.Remove(filepath.Join("/run/docker/plugins", name+".sock")))
	_, err = ps.Get(name, "VolumeDriver", plugingetter.Lookup)
	assert.NilError(t, err)

	// A managed plugin of the same name goes first, even a disabled one.
	assert.NilError(t, ps.Add(stored(fullID("a"), name+":latest", false, "volumedriver")))
	_, err = ps.Get(name, "VolumeDriver", plugingetter.Lookup)
	assert.Check(t, is.ErrorType(err, &DisabledError{}))
}

// A file that can't be read is an error at once, and not an absent plugin.
func TestLegacyFileThatCannotBeRead(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("ROOTLESSKIT_STATE_DIR", home) // docker then looks below HOME
	dir := filepath.Join(home, ".local", "lib", "docker", "plugins")
	assert.NilError(t, os.MkdirAll(dir, 0o755))
	assert.NilError(t, os.WriteFile(filepath.Join(dir, "dovetail-broken.json"), []byte(`{"Addr":7}`), 0o600))
	_, err := NewStore().Get("dovetail-broken", "VolumeDriver", plugingetter.Lookup)
	assert.Check(t, is.ErrorType(err, &LegacyError{}))
	assert.Check(t, is.ErrorContains(err, `read file of "dovetail-broken"`))
	_, err = NewStore().Get("dovetail-absent", "VolumeDriver", plugingetter.Lookup)
	assert.Check(t, is.ErrorType(err, &NotFoundError{}))
}
