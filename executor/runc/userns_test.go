// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
)

// TestInAUserNamespace runs the tests of this package as a rootless daemon runs
// plugins: as root of a user namespace, which is not the host's.
func TestInAUserNamespace(t *testing.T) {
	inside := exec.CommandContext(t.Context(), os.Args[0], "-test.v",
		"-test.run=^(TestConformance|TestARuntimeHangsHalfWay|TestCallsAfterClose|TestANewerExecutorTakesOver|TestNotKnowingIsNotDead|TestRuns)$/^(runc|)$")
	all := []syscall.SysProcIDMap{{Size: 1 << 16}}
	inside.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true,
	}
	said, err := inside.CombinedOutput()
	assert.NilError(t, err, "%s", said)
	for _, test := range []string{"TestConformance/runc/many_runs_at_once", "TestARuntimeHangsHalfWay/runc", "TestRuns"} {
		assert.Assert(t, strings.Contains(string(said), "--- PASS: "+test), "%s did not run:\n%s", test, said)
	}
}
