// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

func TestIsKill(t *testing.T) {
	const since = time.Hour
	tests := []struct {
		name   string
		record string
		want   bool
	}{
		{"a kill for the cgroup's want", "3,1210,3600000001,-;Memory cgroup out of memory: Killed process 42 (plugin) total-vm:1kB", true},
		{"a kill for the host's want", "3,1210,3600000001,-,caller=T1;Out of memory: Killed process 42 (plugin) total-vm:1kB", true},
		{"a little before, by another clock", "3,1210,3400000000,-;Memory cgroup out of memory: Killed process 42 (plugin)", true},
		{"long before", "3,1210,1,-;Memory cgroup out of memory: Killed process 42 (plugin)", false},
		{"another process", "3,1210,3600000001,-;Memory cgroup out of memory: Killed process 421 (plugin)", false},
		{"another message", "6,1210,3600000001,-;process 42 (plugin) is fine", false},
		{"no time", "3;Memory cgroup out of memory: Killed process 42 (plugin)", false},
		{"an odd time", "3,1,x,-;Memory cgroup out of memory: Killed process 42 (plugin)", false},
		{"no message", "3,1210,3600000001,-", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, isKill(test.record, "Killed process 42 (", since), test.want)
		})
	}
}

func TestKilledSays(t *testing.T) {
	log := filepath.Join(t.TempDir(), "kmsg")
	assert.Assert(t, !killedSays(log, 42, 0), "a log that is not there")
	assert.NilError(t, os.WriteFile(log, []byte("3,1,1,-;Out of memory: Killed process 42 (plugin)"), 0o600))
	assert.Assert(t, killedSays(log, 42, 0))
	assert.Assert(t, !killedSays(log, 43, 0))
	assert.Assert(t, !killedSays(kmsg, 1, uptime()), "the real log")
}
