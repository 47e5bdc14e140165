// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/filters"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
)

// record returns the record of an installed plugin from the disk.
func (w *world) record(id string) string {
	w.T.Helper()
	data, err := os.ReadFile(filepath.Join(w.Config.Root, id, "config.json"))
	assert.NilError(w.T, err)
	return string(data)
}

// TestRecordOfALaterVersion makes each verb rewrite a record with fields that this
// version does not know. The fields are kept.
func TestRecordOfALaterVersion(t *testing.T) {
	f := newFaultyWorld(t)
	assert.NilError(t, f.pullVersion("v1"))
	id := f.ID("p")
	f.Shutdown()
	var members map[string]any
	assert.NilError(t, json.Unmarshal([]byte(f.record(id)), &members))
	inner := members["plugin"].(map[string]any)
	members["Later"] = map[string]any{"top": []any{1.5, nil}}
	inner["Later"] = "plugin"
	inner["Settings"].(map[string]any)["Later"] = "settings"
	inner["Config"].(map[string]any)["Later"] = "config"
	encoded, err := json.Marshal(members)
	assert.NilError(t, err)
	f.putFile(string(encoded), id, "config.json")
	assert.NilError(t, f.boot())

	all := []string{`"Later":{"top":[1.5,null]}`, `"Later":"plugin"`, `"Later":"settings"`, `"Later":"config"`}
	for _, step := range []struct {
		name string
		do   func() error
		kept []string
	}{
		{"boot", func() error { return nil }, all},
		{"set", func() error { return f.Set("p", []string{"DEBUG=1"}) }, all},
		{"enable", func() error { return f.Enable("p", nil) }, all},
		{"disable", func() error { return f.Disable("p", nil) }, all},
		// Unknown fields of the old version's config and settings may not apply
		// to the new version.
		{"upgrade", func() error { return f.upgrade(f.repository+"v2", "p", f.privileges()) }, all[:1]},
		{"boot again", func() error { f.Shutdown(); return f.boot() }, all[:1]},
	} {
		assert.NilError(t, step.do(), step.name)
		for _, kept := range step.kept {
			assert.Check(t, is.Contains(f.record(id), kept), step.name)
		}
	}
}

func TestBrokenRecordIsKeptAndListed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(path string) error
		reason string
	}{
		{"cut off", func(path string) error { return os.Truncate(path, 100) }, "unexpected end of JSON input"},
		{"empty", func(path string) error { return os.Truncate(path, 0) }, "unexpected end of JSON input"},
		{"not JSON", func(path string) error { return os.WriteFile(path, []byte("\x00\x00"), 0o600) }, "invalid character"},
		{"another's", func(path string) error {
			return os.WriteFile(path, []byte(`{"plugin":{"Id":"`+strings.Repeat("a", 64)+`","Name":"x:latest"}}`), 0o600)
		}, "the record belongs to plugin"},
		{"gone", os.Remove, "no such file or directory"},
		{"a directory", func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, "is a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t).start()
			broken, fine := w.Create("broken"), w.Create("fine")
			w.Shutdown()
			assert.NilError(t, tt.damage(filepath.Join(w.Config.Root, broken, "config.json")))
			before := w.Tree()
			w.start()
			w.GC()
			var unreadable *plugin.BrokenError
			for _, verb := range []func() error{
				func() error { return w.Enable(broken, nil) },
				func() error { return w.Disable(broken, nil) },
				func() error { return w.Set(broken, []string{"A=1"}) },
				func() error { _, err := w.Inspect(broken); return err },
			} {
				err := verb()
				assert.Check(t, errors.As(err, &unreadable), "%v", err)
			}
			assert.DeepEqual(t, w.Tree(), before)

			list, err := w.List(filters.NewArgs())
			assert.NilError(t, err)
			described := map[string]string{}
			for _, p := range list {
				described[p.ID] = p.Config.Description
			}
			assert.Equal(t, len(described), 2)
			assert.Check(t, is.Contains(described[broken], "broken: "))
			assert.Check(t, is.Contains(described[broken], tt.reason))
			w.MustEnable(fine)
			assert.NilError(t, w.Remove(broken, nil))
			w.Check("the broken plugin was removed")
		})
	}
}

// TestSharedPrefixIsAmbiguous gives sound and broken plugins IDs with a common
// prefix. No verb may choose among them.
func TestSharedPrefixIsAmbiguous(t *testing.T) {
	for _, tt := range []struct {
		name   string
		broken []string // follows the first two digits of the sound plugin's ID
	}{
		{"a sound and a broken one", []string{"0"}},
		{"a sound and two broken ones", []string{"0", "1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t).start()
			sound := w.Create("sound")
			w.Shutdown()
			prefix := sound[:2]
			for _, next := range tt.broken {
				id := prefix + strings.Repeat(next, len(sound)-len(prefix))
				assert.NilError(t, os.Mkdir(filepath.Join(w.Config.Root, id), 0o700))
				assert.NilError(t, os.WriteFile(filepath.Join(w.Config.Root, id, "config.json"), []byte("{"), 0o600))
			}
			w.start()
			before := w.Tree()
			for name, verb := range map[string]func() error{
				"remove":          func() error { return w.Remove(prefix, nil) },
				"remove by force": func() error { return w.Remove(prefix, forced) },
				"enable":          func() error { return w.Enable(prefix, nil) },
				"disable":         func() error { return w.Disable(prefix, nil) },
				"set":             func() error { return w.Set(prefix, []string{"A=1"}) },
				"inspect":         func() error { _, err := w.Inspect(prefix); return err },
				"status":          func() error { _, err := w.Status(prefix); return err },
				"logs":            func() error { _, err := w.Logs(t.Context(), prefix, plugin.LogOptions{}); return err },
				"store":           func() error { _, err := w.Config.Store.GetV2Plugin(prefix); return err },
				"get":             func() error { _, err := w.Config.Store.Get(prefix, "volumedriver", 0); return err },
			} {
				assert.Check(t, is.ErrorType(verb(), &plugin.AmbiguousError{}), name)
			}
			assert.DeepEqual(t, w.Tree(), before)
			for _, next := range tt.broken {
				assert.NilError(t, w.Remove(prefix+strings.Repeat(next, 61), nil), "a longer prefix is unambiguous")
			}
			assert.NilError(t, w.Remove(prefix, nil), "one plugin is left")
		})
	}
}
