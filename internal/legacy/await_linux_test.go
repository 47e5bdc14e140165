// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

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

// TestArrivals makes the files of a legacy plugin in every place and order. Each
// step is an event, or the place is not watched.
func TestArrivals(t *testing.T) {
	cases := []struct {
		name  string
		steps func(directory string) []func() error
	}{
		{"into a directory that is there", func(d string) []func() error {
			assert.NilError(t, os.MkdirAll(d, 0o755))
			return []func() error{write(d, "dovetail-late.spec")}
		}},
		{"with its directory", func(d string) []func() error {
			return []func() error{makeDirectory(d), write(d, "dovetail-late.spec")}
		}},
		{"in a subdirectory", func(d string) []func() error {
			own := filepath.Join(d, "dovetail-late")
			return []func() error{makeDirectory(own), write(own, "dovetail-late.json")}
		}},
		{"after its directory was removed and made again", func(d string) []func() error {
			assert.NilError(t, os.MkdirAll(d, 0o755))
			return []func() error{func() error { return os.Remove(d) }, makeDirectory(d), write(d, "dovetail-late.spec")}
		}},
		{"by a rename", func(d string) []func() error {
			assert.NilError(t, os.MkdirAll(d, 0o755))
			assert.NilError(t, write(filepath.Dir(d), "new")())
			return []func() error{func() error {
				return os.Rename(filepath.Join(filepath.Dir(d), "new"), filepath.Join(d, "dovetail-late.spec"))
			}}
		}},
		{"empty at first", func(d string) []func() error {
			assert.NilError(t, os.MkdirAll(d, 0o755))
			path := filepath.Join(d, "dovetail-late.spec")
			return []func() error{
				func() error { return os.WriteFile(path, nil, 0o600) },
				func() error { return os.WriteFile(path, []byte("unix:///nowhere"), 0o600) },
			}
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			directory := specDirectory(t)
			steps := tc.steps(directory)
			w := newWatch("dovetail-late")
			defer w.close()
			for _, step := range steps {
				assert.Check(t, w.add() == nil, "everything can be watched")
				assert.Check(t, look("dovetail-late") != nil)
				assert.NilError(t, step())
				<-w.events
			}
			for look("dovetail-late") != nil {
				w.add()
				<-w.events
			}
		})
	}
}

func makeDirectory(path string) func() error {
	return func() error { return os.MkdirAll(path, 0o755) }
}

func write(directory, name string) func() error {
	return func() error {
		content := "unix:///nowhere"
		if filepath.Ext(name) == ".json" {
			content = `{"Addr":"unix:///nowhere"}`
		}
		return os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600)
	}
}

// TestLateLegacyPluginWithoutWatches looks again by the clock.
func TestLateLegacyPluginWithoutWatches(t *testing.T) {
	specDirectory(t)
	w := &watch{directories: newWatch("dovetail-late").directories}
	assert.Check(t, w.add() != nil)
	w.close()
}

// TestAwaitEnds ends waits for a plugin that never comes.
func TestAwaitEnds(t *testing.T) {
	specDirectory(t)
	halted := make(chan struct{})
	close(halted)
	assert.ErrorContains(t, Await("dovetail-late", time.Hour, halted, look), "dovetail-late")
	assert.ErrorContains(t, Await("dovetail-late", 1, nil, look), "dovetail-late")
}

// TestAwaitFinds finds a plugin that comes after the first look.
func TestAwaitFinds(t *testing.T) {
	directory := specDirectory(t)
	looks := 0
	assert.NilError(t, Await("dovetail-late", time.Hour, nil, func(name string) error {
		if looks++; looks == 1 {
			assert.NilError(t, os.MkdirAll(directory, 0o755))
			assert.NilError(t, write(directory, "dovetail-late.spec")())
			return os.ErrNotExist
		}
		return look(name)
	}))
	assert.Check(t, looks > 1)
}
