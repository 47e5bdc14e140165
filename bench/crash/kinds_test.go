// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

func TestSortOut(t *testing.T) {
	id := strings.Repeat("a", 64)
	for _, tt := range []struct{ problem, kind, of string }{
		{"plugin " + id + ": rootfs: /r/plugin is not of version v1", "a plugin does not have the files of its version", "plugin " + id},
		{"plugin " + id + ": it has no rootfs", "a plugin does not have the files of its version", "plugin " + id},
		{"plugin " + id + ": read record: open", "a plugin's record is missing or can't be read", "plugin " + id},
		{"plugins x and y are both named p:latest", "two plugins have one name", "p:latest"},
		{"blob sha256:ab is corrupt: its content does not match the digest", "a blob is corrupt", "blob sha256:ab"},
		{"plugin " + id + " runs and is not enabled", "a plugin runs that is not enabled", "plugin " + id},
		{"sockets of plugin " + id + " are left, but the plugin is not enabled", "sockets of a run are left", "sockets of plugin " + id},
		{"stage tmp/.rootfs1 is left", "files of an install, an upgrade or a removal are left", "stage tmp/.rootfs1"},
		{id + "-removing is left", "files of an install, an upgrade or a removal are left", id + "-removing"},
		{"plugin " + id + ": config.json.tmp is left", "files of an install, an upgrade or a removal are left", "plugin " + id + ": config.json.tmp"},
		{"storage/x is left", "files of an install, an upgrade or a removal are left", "storage/x"},
		{"something new", "something new", "something new"},
	} {
		t.Run(tt.problem, func(t *testing.T) {
			assert.Equal(t, sortOut(tt.problem), violation{tt.kind, tt.of})
		})
	}
}

func TestSightings(t *testing.T) {
	id := strings.Repeat("a", 64)
	wrong, litter := "plugin "+id+": it has no rootfs", "stage tmp/a is left"
	var seen sightings
	for day, tt := range []struct {
		problems []string
		want     int
	}{
		{[]string{wrong, wrong}, 1},
		{[]string{wrong, litter}, 0},
		{[]string{wrong, litter}, 1},
		{[]string{wrong, litter}, 0},
		{[]string{litter}, 0},
		{nil, 0},
		{[]string{wrong, litter}, 1},
		{nil, 0},
	} {
		var counted []violation
		counted, seen = seen.next(tt.problems)
		assert.Equal(t, len(counted), tt.want, "day %d", day)
	}
	assert.Check(t, sortOut("sockets of plugin "+id+" are left, but the plugin is not enabled").isLeftover())
}
