//go:build linux

package plugin_test

import (
	"errors"
	"fmt"
	"testing"

	dockererrdefs "github.com/docker/docker/errdefs"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/layout"
)

// TestDiskThatRecovers fails several steps in a row of each verb, from each step
// on, and its undoing with them; then the disk works again, and the same
// process collects garbage. What a restart finds then is whole: the old state,
// or the new one if the verb was done or reported as interrupted.
func TestDiskThatRecovers(t *testing.T) {
	for _, verb := range verbs {
		if verb.name == "boot" {
			continue // there is no process that lives on
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

// checkDiskRecovered holds what is there after a verb against its error.
func (f *faultyWorld) checkDiskRecovered(k int, err error, before, after string) {
	f.t.Helper()
	want := after
	if err != nil {
		assert.Check(f.t, dockererrdefs.IsSystem(err), "step %d: %v", k, err)
		want = before
	}
	var unsettled *layout.UnsettledError
	if errors.As(err, &unsettled) {
		want = after
	}
	assert.Equal(f.t, f.state(), want, "step %d: %v", k, err)
	var interrupted *layout.InterruptedError
	if errors.As(err, &interrupted) {
		setErr := f.Set("p", []string{"DEBUG=2"})
		assert.Assert(f.t, errors.As(setErr, &interrupted), "step %d: what the next start makes anew was changed: %v", k, setErr)
		want = after
	}
	f.restart()
	got := f.state()
	assert.Check(f.t, got == want || err != nil && got == after, "step %d: %v: %s", k, err, got)
	f.check("step %d, and restarted: %v", k, err)
}
