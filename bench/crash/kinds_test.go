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
		{"blob sha256:ab does not have the bytes that its digest says", "a blob has wrong bytes", "blob sha256:ab"},
		{"plugin " + id + " runs and is not enabled", "a plugin runs that is not enabled", "plugin " + id},
		{"sockets of plugin " + id + " are left, which is not enabled", "sockets of a run are left", "sockets of plugin " + id},
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

func TestNewsAreToldOnce(t *testing.T) {
	a, b := "stage tmp/a is left", "stage tmp/b is left"
	fresh, now := news([]string{a, a}, nil)
	assert.Equal(t, len(fresh), 1)
	fresh, now = news([]string{a, b}, now)
	assert.Equal(t, len(fresh), 1)
	assert.Equal(t, fresh[0].of, "stage tmp/b")
	fresh, _ = news([]string{a, b}, now)
	assert.Equal(t, len(fresh), 0)
}
