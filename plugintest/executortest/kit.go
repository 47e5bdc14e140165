// SPDX-License-Identifier: Apache-2.0

//go:build linux

package executortest

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

const defaultPatience = 20 * time.Second

// Run tests the executor of subject. Each subtest checks one promise and starts its
// own executor. Run needs the Go toolchain and whatever the executor needs.
func Run(t *testing.T, subject Subject) {
	if subject.Patience == 0 {
		subject.Patience = defaultPatience
	}
	probe := program(t, subject)
	for _, test := range []struct {
		name string
		run  func(h *host)
	}{
		{"Create starts", testCreateStarts},
		{"output flows while the run lives", testOutputFlows},
		{"output is complete at the end", testOutputIsComplete},
		{"IsRunning knows no unknown ID", testUnknownID},
		{"a run ends by itself", testEndsByItself},
		{"a run ends with a code", testEndsWithCode},
		{"a run ends by SIGTERM", testEndsBySIGTERM},
		{"a run that ignores SIGTERM ends by SIGKILL", testEndsBySIGKILL},
		{"an ID is used again", testIDIsUsedAgain},
		{"the end of a child is not an exit", testChildEnds},
		{"a child that lives on delays no exit", testChildLivesOn},
		{"Create of a missing entrypoint", testMissingEntrypoint},
		{"Create of a missing rootfs", testMissingRootfs},
		{"Create replaces what a crashed daemon left", testCreateReplaces},
		{"Restore of an unknown ID", testRestoreUnknown},
		{"Restore of a dead run", testRestoreDead},
		{"Restore of a living run", testRestoreLiving},
		{"Restore again and again", testRestoreAgain},
		{"Restore of a run that is attended", testRestoreAttended},
		{"Runs lists what exists", testRuns},
		{"many runs at once", testManyRuns},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(newHost(t, subject, probe))
		})
	}
}

// program returns a rootfs with the probe. An executor that starts no processes gets
// an empty file instead of the built program.
func program(t *testing.T, subject Subject) (rootfs string) {
	t.Helper()
	if !subject.InProcess {
		return BuildProbe(t)
	}
	rootfs = t.TempDir()
	if err := os.WriteFile(filepath.Join(rootfs, probePath), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	return rootfs
}
