// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest"
)

// tree notes the modes of everything below both directories, and the number of
// blobs of each kind.
func (r *Run) tree(step string) {
	blobs := map[string]int{}
	for base, stand := range map[string]string{r.Config.Root: "ROOT", r.Config.ExecRoot: "EXECROOT"} {
		err := filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			below, _ := filepath.Rel(base, path)
			if kind := blobKind(path); strings.Contains(below, "storage/blobs/sha256/") && kind != "" {
				blobs[kind]++
				return nil
			}
			info, err := d.Info()
			if err == nil {
				r.See(step, "tree["+filepath.Join(stand, below)+"]", info.Mode().String())
			}
			return err
		})
		assert.NilError(r.t, err)
	}
	for _, kind := range []string{"config", "manifest", "layer"} {
		r.See(step, "blobs["+kind+"]", fmt.Sprint(blobs[kind]))
	}
}

// blobKind returns the kind of a plugin's blob.
func blobKind(path string) string {
	data, err := os.ReadFile(path)
	switch {
	case err != nil:
		return ""
	case bytes.Contains(data, []byte(`"layers":[{`)):
		return "manifest"
	case bytes.HasPrefix(data, []byte("{")):
		return "config"
	}
	return "layer"
}

// collect is not a step, because GC returns and reports nothing.
func (r *Run) collect() {
	r.Given(func() error {
		r.GC()
		return nil
	})
}

var storageScenarios = []Scenario{
	{"storage", func(r *Run) {
		r.Start()
		r.tree("empty")
		r.create("create", "dovetail/one", plugintest.Config(volume))
		r.tree("created")
		r.enable("enable", "dovetail/one")
		r.tree("enabled")
		r.disable("disable", "dovetail/one", false)
		r.tree("disabled")
		r.collect()
		r.tree("collected")
		r.remove("remove", "dovetail/one", false)
		r.collect()
		r.tree("removed")
	}},
	{"propagated mount", func(r *Run) {
		r.Start()
		config := plugintest.Config(volume)
		config.PropagatedMount = "/dovetail-propagated"
		r.create("create", "dovetail/one", config)
		r.enable("enable", "dovetail/one")
		r.tree("enabled")
		p, err := r.Plugin("dovetail/one")
		assert.NilError(r.t, err)
		for _, path := range []string{"/dovetail-propagated/x", "/dovetail-propagated", "/dovetail-propagated/../x", "/etc"} {
			r.See("scoped path "+path, "result", p.ScopedPath(path))
		}
		r.disable("disable", "dovetail/one", false)
		r.tree("disabled")
	}},
}
