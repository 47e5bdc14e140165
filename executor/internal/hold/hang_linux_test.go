// SPDX-License-Identifier: Apache-2.0

package hold

import (
	"testing"
	"time"

	"gotest.tools/v3/assert"
	"gotest.tools/v3/poll"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/bounded/boundedtest"
)

// TestADirectoryThatHangsDelaysOnlyItsOwnRenewal hangs the renewal of one directory.
// Executors of other directories are not delayed, and signals and the end of its own
// executor are not either.
func TestADirectoryThatHangsDelaysOnlyItsOwnRenewal(t *testing.T) {
	hanging, other := boundedtest.TempDir(t), t.TempDir()
	var first, second, third owner
	stuck, err := Take(hanging, &first)
	assert.NilError(t, err)
	free, err := Take(other, &second)
	assert.NilError(t, err)
	renewed := make(chan error, 1)
	t.Cleanup(func() {
		<-renewed // with or without an error: the mount may be gone
		free.Release(&third)
	})
	boundedtest.Silence(t, hanging)
	before := boundedtest.Hanging(t)
	go func() { renewed <- stuck.Renew() }()
	poll.WaitOn(t, func(poll.LogT) poll.Result {
		if boundedtest.Hanging(t) > before {
			return poll.Success()
		}
		return poll.Continue("the renewal does not hang yet")
	}, poll.WithTimeout(time.Minute))

	for name, call := range map[string]func() bool{
		"HeldBy":          func() bool { return stuck.HeldBy(&first) },
		"HeldBy of other": func() bool { return free.HeldBy(&second) },
		"Renew of other":  func() bool { return free.Renew() == nil },
	} {
		held, returned := bounded.Within(time.Minute, call)
		assert.Assert(t, returned && held, name)
	}
	_, returned := bounded.Within(time.Minute, func() bool {
		taken, err := Take(other, &third)
		assert.Check(t, err == nil && taken == free && second.closed)
		stuck.Release(&first)
		return true
	})
	assert.Assert(t, returned)
	assert.Assert(t, !stuck.HeldBy(&first))
}
