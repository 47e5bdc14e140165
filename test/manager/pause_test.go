// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/bounded"
)

// refusing is an executor that sends no signals after Close, as executor/runc and
// executor/containerd.
type refusing struct {
	*attendant
	closed atomic.Bool
}

func (r *refusing) Signal(id string, signal syscall.Signal) error {
	if r.closed.Load() {
		return errdefs.ErrUnavailable
	}
	return r.attendant.Signal(id, signal)
}

func (r *refusing) Close() error {
	r.closed.Store(true)
	return r.attendant.Close()
}

// TestShutdownAfterAPause stops a plugin that ignores SIGTERM. The daemon is stopped
// in the k-th call, until StopTimeout and the limit of a SIGKILL are over. The
// plugin's process ends all the same.
func TestShutdownAfterAPause(t *testing.T) {
	for k, reached := int64(1), true; reached; k++ {
		s := newSimulation()
		config, ids := simulatedWorld(t, s, "a")
		config.StopTimeout = 10 * time.Second
		simulated := config.CreateExecutor
		config.CreateExecutor = func(pm *plugin.Manager) (plugin.Executor, error) {
			e, err := simulated(pm)
			return &refusing{attendant: e.(*attendant)}, err
		}
		synctest.Test(t, func(t *testing.T) {
			pm := s.manage(t, config)
			assert.NilError(t, pm.Enable("a", nil))
			var calls atomic.Int64
			s.mu.Lock()
			s.processes[ids["a"]].ignoresTerm = true
			s.resumes = time.Now().Add(20*time.Second + bounded.Grace/4)
			s.fault = func(string, string) fault {
				if calls.Add(1) == k {
					return paused
				}
				return noFault
			}
			s.mu.Unlock()
			checkShutdown(t, pm)
			assert.Check(t, !s.lives(ids["a"]), "the process lives after a pause in call %d", k)
			reached = calls.Load() >= k
			assert.Check(t, reached || k > 3, "%d calls", k)
			time.Sleep(time.Hour)
		})
	}
}
