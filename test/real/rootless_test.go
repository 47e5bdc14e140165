//go:build linux

package plugin_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
)

// TestRealPluginsRunRootless runs real plugins as `unshare -Urm` does: with root
// alone mapped into a user namespace, and with mounts whose flags that locks.
func TestRealPluginsRunRootless(t *testing.T) {
	tests := []string{"TestRealPluginStartsAndStops", "TestRealPluginThatExits", "TestRealLiveRestore", "TestMountsAtThePropagatedMount"}
	inside := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^("+strings.Join(tests, "|")+")$")
	root := []syscall.SysProcIDMap{{Size: 1}}
	inside.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: root, GidMappings: root,
	}
	said, err := inside.CombinedOutput()
	assert.NilError(t, err, "%s", said)
	for _, test := range tests {
		assert.Check(t, strings.Contains(string(said), "--- PASS: "+test), "%s did not run:\n%s", test, said)
	}
}
