// SPDX-License-Identifier: Apache-2.0

//go:build linux

package trial

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// isolated is set in the processes of [InNamespace].
const isolated = "DOVETAIL_ISOLATED"

// InNamespace runs a test in a new process with an empty network namespace, which is
// then the host's network for plugins. The host itself stays as it is.
func InNamespace(t *testing.T, test func(*testing.T)) {
	t.Helper()
	testenv.NeedsRoot(t, "making namespaces")
	if os.Getenv(isolated) == t.Name() {
		test(t)
		return
	}
	again := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), isolated+"="+t.Name())
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	output, err := again.CombinedOutput()
	assert.NilError(t, err, "%s", output)
}
