// SPDX-License-Identifier: Apache-2.0

//go:build linux

package real_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// TestRealPluginsRunRootless runs real plugins as under `unshare -Urm`: the user
// namespace maps root only, and locks the flags of mounts.
func TestRealPluginsRunRootless(t *testing.T) {
	testenv.NeedsRoot(t, "runc")
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
