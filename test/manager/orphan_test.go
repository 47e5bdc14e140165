// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
)

// TestOrphansAreEnded starts managers while processes of removed plugins run, with
// and without live restore. The executor fails at first. Processes with IDs that no
// plugin can have are not touched.
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

// TestRunsAreListedAgain starts a manager while the processes of a removed and of a
// disabled plugin run, and the executor's list fails in each way, for some time. The
// processes are ended soon after the executor recovers.
func TestRunsAreListedAgain(t *testing.T) {
	for name, how := range map[string]fault{"fails": fails, "hangs": hangs, "answers late": lateDone, "is slow": slow, "panics": panics} {
		t.Run(name, func(t *testing.T) {
			s := newSimulation()
			config, ids := simulatedWorld(t, s, "kept", "lost", "disabled")
			synctest.Test(t, func(t *testing.T) {
				crashed := s.manage(t, config)
				for name := range ids {
					assert.NilError(t, crashed.Enable(name, nil))
				}
				loseRecord(t, config, ids["lost"])
				disableRecord(t, filepath.Join(config.Root, ids["disabled"], "config.json"))
				s.setFault(func(call, _ string) fault {
					if call == "runs" {
						return how
					}
					return noFault
				}, false)
				pm := s.manage(t, config)
				time.Sleep(10 * time.Minute)
				s.release()
				time.Sleep(2 * time.Minute)
				assert.Check(t, !s.lives(ids["lost"]), "the process of a removed plugin lives")
				assert.Check(t, !s.lives(ids["disabled"]), "the process of a disabled plugin lives")
				assert.Check(t, s.lives(ids["kept"]))
				checkShutdown(t, pm)
				checkShutdown(t, crashed)
				assert.DeepEqual(t, s.wrongs, []string(nil))
			})
		})
	}
}

// TestIncompleteRunsAreEnded lists a run together with an error, for ever. The run is
// ended, although the executor's list never is complete.
func TestIncompleteRunsAreEnded(t *testing.T) {
	s := newSimulation()
	config, ids := simulatedWorld(t, s, "lost")
	simulated := config.CreateExecutor
	config.CreateExecutor = func(pm *plugin.Manager) (plugin.Executor, error) {
		e, err := simulated(pm)
		return incomplete{e.(*attendant)}, err
	}
	synctest.Test(t, func(t *testing.T) {
		crashed := s.manage(t, config)
		assert.NilError(t, crashed.Enable("lost", nil))
		setUnkillable := func(unkillable bool) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.processes[ids["lost"]].unkillable = unkillable
		}
		setUnkillable(true)
		loseRecord(t, config, ids["lost"])
		pm := s.manage(t, config)
		time.Sleep(10 * time.Minute) // many lists
		setUnkillable(false)
		time.Sleep(time.Minute)
		assert.Check(t, !s.lives(ids["lost"]), "the process of a removed plugin lives")
		checkShutdown(t, pm)
		checkShutdown(t, crashed)
		assert.DeepEqual(t, s.wrongs, []string(nil))
	})
}

// incomplete is an executor that never lists all runs.
type incomplete struct{ *attendant }

func (i incomplete) Runs() ([]string, error) {
	ids, err := i.attendant.Runs()
	return ids, errors.Join(err, errSimulated)
}

// loseRecord leaves the plugin's directory as a crash during a removal does.
func loseRecord(t *testing.T, config plugin.ManagerConfig, id string) {
	t.Helper()
	assert.NilError(t, os.Rename(filepath.Join(config.Root, id), filepath.Join(config.Root, "tmp", "lost")))
}

// disableRecord makes the record of an enabled plugin that of a disabled plugin, as a
// crash during a disable does.
func disableRecord(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	assert.NilError(t, err)
	disabled := bytes.Replace(content, []byte(`"Enabled":true`), []byte(`"Enabled":false`), 1)
	assert.Assert(t, !bytes.Equal(content, disabled), "%s", content)
	assert.NilError(t, os.WriteFile(path, disabled, 0o600))
}

// TestRunsOfASiblingAreNoOrphans starts two managers of different roots with one
// executor. Neither ends the other's runs. After a crash of the second, and without
// the record of its plugin, the run is an orphan to the next manager of that root.
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
