// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

func TestSkipsAreNoted(t *testing.T) {
	skips := filepath.Join(t.TempDir(), "skips")
	t.Setenv(skipsFile, skips)
	assert.NilError(t, Note("TestA", "mounting needs root"))
	for _, reason := range []string{"runc needs root", "no device nodes"} {
		t.Run(reason, func(t *testing.T) {
			Skip(t, reason)
			t.Error("the test went on")
		})
	}
	content, err := os.ReadFile(skips)
	assert.NilError(t, err)
	assert.Equal(t, string(content), "mounting needs root\tTestA\nrunc needs root\tTestSkipsAreNoted/runc_needs_root\nno device nodes\tTestSkipsAreNoted/no_device_nodes\n")
}

func TestNeedsRoot(t *testing.T) {
	t.Setenv(skipsFile, "")
	ran := false
	t.Run("as the user of this test", func(t *testing.T) {
		NeedsRoot(t, "nothing")
		ran = true
	})
	assert.Equal(t, ran, os.Geteuid() == 0)
}

// TestSummary runs test/skips.sh as root and as another user, around commands that
// skip tests or none.
func TestSummary(t *testing.T) {
	const skip = `printf 'runc needs root\tTestB\nmounting needs root\tTestA\nrunc needs root\tTestC\nrunc needs root\tTestB\n' >>"$DOVETAIL_SKIPS"`
	const skipped = "skipped: 3 (mounting needs root: 1; runc needs root: 2)\n"
	const list = "mounting needs root\tTestA\nrunc needs root\tTestB\nrunc needs root\tTestC\n"
	for _, tc := range []struct {
		name, user, command string
		status              int
		out, list           string
	}{
		{"root, nothing skipped", "0", "true", 0, "skipped: 0\n", ""},
		{"root, tests skipped", "0", skip, 1, skipped, list},
		{"root, tests skipped and failed", "0", skip + "; exit 3", 3, skipped, list},
		{"other user, nothing skipped", "1000", "true", 0, "skipped: 0\n", ""},
		{"other user, tests skipped", "1000", skip, 0, skipped, ""},
		{"other user, tests skipped and failed", "1000", skip + "; exit 3", 3, skipped, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			script, err := filepath.Abs("../../test/skips.sh")
			assert.NilError(t, err)
			programs := t.TempDir()
			assert.NilError(t, os.WriteFile(filepath.Join(programs, "id"), []byte("#!/bin/sh\necho "+tc.user+"\n"), 0o755))
			command := exec.Command(script, "sh", "-c", tc.command)
			command.Env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"))
			var stderr strings.Builder
			command.Stderr = &stderr
			out, err := command.Output()
			assert.Equal(t, command.ProcessState.ExitCode(), tc.status, "%v", err)
			assert.Equal(t, string(out), tc.out)
			if tc.list != "" {
				tc.list = script + ": nothing may be skipped as root:\n" + tc.list
			}
			assert.Equal(t, stderr.String(), tc.list)
		})
	}
}
