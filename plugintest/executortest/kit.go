//go:build linux

package executortest

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

const defaultPatience = 20 * time.Second

// Run tests the executor of subject, each promise in a subtest that starts an
// executor of its own. It needs the Go toolchain, and of the executor what it
// needs by itself.
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
		{"IsRunning knows no unknown id", testUnknownID},
		{"a run ends by itself", testEndsByItself},
		{"a run ends with a code", testEndsWithCode},
		{"a run ends by SIGTERM", testEndsBySIGTERM},
		{"a run that ignores SIGTERM ends by SIGKILL", testEndsBySIGKILL},
		{"an id is used again", testIDIsUsedAgain},
		{"a child's end is no exit", testChildEnds},
		{"a child that lives on delays no exit", testChildLivesOn},
		{"Create of a missing entrypoint", testMissingEntrypoint},
		{"Create of a missing rootfs", testMissingRootfs},
		{"Create replaces what a crashed daemon left", testCreateReplaces},
		{"Restore of an unknown id", testRestoreUnknown},
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

// program returns a rootfs with the probe. One that never becomes a process
// need not be built, only be there.
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
