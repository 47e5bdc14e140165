//go:build linux

package plugin_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
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

// TestRunsOfASiblingAreNoOrphans starts a manager that has an executor in common
// with one of another root. Once that one has crashed and its plugin is gone,
// the run is an orphan to its successor.
func TestRunsOfASiblingAreNoOrphans(t *testing.T) {
	s := newSimulation()
	config, ids := simulatedWorld(t, s, "first")
	sibling, siblingIDs := simulatedWorld(t, s, "second")
	synctest.Test(t, func(t *testing.T) {
		first := s.manage(t, config)
		assert.NilError(t, first.Enable("first", nil))
		second := s.manage(t, sibling)
		assert.NilError(t, second.Enable("second", nil))
		time.Sleep(time.Minute)
		assert.Check(t, s.lives(ids["first"]), "the process of another manager's plugin was ended")

		assert.NilError(t, os.Rename(filepath.Join(sibling.Root, siblingIDs["second"]), filepath.Join(sibling.Root, "tmp", "second")))
		successor := s.manage(t, sibling)
		time.Sleep(time.Minute)
		assert.Check(t, !s.lives(siblingIDs["second"]), "the process of a removed plugin lives")
		assert.Check(t, s.lives(ids["first"]))
		for _, pm := range []*plugin.Manager{first, second, successor} {
			checkShutdown(t, pm)
		}
		assert.DeepEqual(t, s.wrongs, []string(nil))
	})
}
