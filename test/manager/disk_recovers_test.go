// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"errors"
	"fmt"
	"testing"

	dockererrdefs "github.com/docker/docker/errdefs"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
)

// TestDiskThatRecovers fails several consecutive steps of each verb, from each
// step on, including the steps that undo it. Then the disk works again, and the
// same process collects garbage. After a restart the state is the old one, or the
// new one if the verb succeeded or was reported as interrupted.
func TestDiskThatRecovers(t *testing.T) {
	for _, verb := range verbs {
		if verb.name == "boot" {
			continue // no process is left to collect
		}
		lengths := []int{1 << 20}
		if verb.name == "upgrade" {
			lengths = []int{2, 3, 5, 8, 1 << 20} // it is undone in several steps
		}
		for _, length := range lengths {
			t.Run(fmt.Sprintf("%s, %d steps", verb.name, length), func(t *testing.T) {
				for k, reached := 0, true; reached; k++ {
					f := newFaultyWorld(t)
					verb.prepare(f)
					before, after := f.state(), verb.after
					if after == "same" {
						after = before
					}
					f.arm(func(call int) bool { return call >= k && call < k+length })
					err := verb.do(f)
					reached = f.disarm() > k
					f.GC()
					f.checkDiskRecovered(k, err, before, after)
					f.Shutdown()
				}
			})
		}
	}
}

// checkDiskRecovered compares the state after a verb with the verb's error.
func (f *faultyWorld) checkDiskRecovered(k int, err error, before, after string) {
	f.T.Helper()
	want := after
	if err != nil {
		assert.Check(f.T, dockererrdefs.IsSystem(err), "step %d: %v", k, err)
		want = before
	}
	var unsettled *plugin.UnsettledRemovalError
	if errors.As(err, &unsettled) {
		want = after
	}
	assert.Equal(f.T, f.state(), want, "step %d: %v", k, err)
	var interrupted *plugin.InterruptedUpgradeError
	if errors.As(err, &interrupted) {
		setErr := f.Set("p", []string{"DEBUG=2"})
		assert.Assert(f.T, errors.As(setErr, &interrupted), "step %d: a plugin that the next start upgrades was changed: %v", k, setErr)
		want = after
	}
	f.restart()
	got := f.state()
	assert.Check(f.T, got == want || err != nil && got == after, "step %d: %v: %s", k, err, got)
	f.Check("step %d, and restarted: %v", k, err)
}
