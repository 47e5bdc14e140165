// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"os"
	"os/exec"
	"syscall"
)

// isolated marks the process that runs the tests.
const isolated = "HARNESS_ISOLATED"

// Isolate runs this program again in a new mount namespace and returns its exit
// code. So no mount outlives the tests, however they end. In the new process,
// and without root, ok is false and the caller continues.
func Isolate() (code int, ok bool) {
	if os.Geteuid() != 0 || os.Getenv(isolated) != "" {
		return 0, false
	}
	again := exec.Command(os.Args[0], os.Args[1:]...)
	again.Env = append(os.Environ(), isolated+"=yes")
	again.Stdin, again.Stdout, again.Stderr = os.Stdin, os.Stdout, os.Stderr
	again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := again.Run(); again.ProcessState == nil {
		os.Stderr.WriteString("isolate tests: " + err.Error() + "\n")
		return 1, true
	}
	return again.ProcessState.ExitCode(), true
}
