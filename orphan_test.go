//go:build linux

package plugin_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"
)

// TestOrphansAreEnded starts managers beside processes of plugins that are not
// there any more, with live restore and without, while the executor fails at
// first. Processes of ids that no plugin can have are left alone.
func TestOrphansAreEnded(t *testing.T) {
	for _, live := range []bool{true, false} {
		s := newSimulation()
		config, ids := simulatedWorld(t, s, "kept", "lost")
		config.LiveRestoreEnabled = live
		synctest.Test(t, func(t *testing.T) {
			crashed := s.manage(t, config)
			for name := range ids {
				assert.NilError(t, crashed.Enable(name, nil))
			}
			s.mu.Lock()
			s.processes["foreign"] = &simulated{}
			s.mu.Unlock()
			assert.NilError(t, os.RemoveAll(filepath.Join(config.Root, ids["lost"], "config.json")))
			assert.NilError(t, os.Rename(filepath.Join(config.Root, ids["lost"]), filepath.Join(config.Root, "tmp", "lost")))
			s.setFault(func(call, id string) fault {
				if call == "restore" && id == ids["lost"] {
					return fails
				}
				return noFault
			}, false)
			pm := s.manage(t, config)
			time.Sleep(time.Minute)
			assert.Check(t, s.lives(ids["lost"]))
			s.release()
			time.Sleep(time.Minute)
			assert.Check(t, !s.lives(ids["lost"]), "the process of a removed plugin lives")
			assert.Check(t, s.lives(ids["kept"]) && s.lives("foreign"))
			checkShutdown(t, pm)
			checkShutdown(t, crashed)
			assert.DeepEqual(t, s.wrongs, []string(nil))
		})
	}
}
