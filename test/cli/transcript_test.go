// SPDX-License-Identifier: Apache-2.0

//go:build linux

package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
	"gotest.tools/v3/golden"
)

// TestScenarios runs every transcript and compares its output.
func TestScenarios(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	assert.NilError(t, err)
	assert.Assert(t, len(paths) > 0)
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			written, err := os.ReadFile(path)
			assert.NilError(t, err)
			happened := perform(t, newWorld(t), string(written))
			if golden.FlagUpdate() {
				assert.NilError(t, os.WriteFile(path, []byte(happened), 0o644))
				return
			}
			assert.Equal(t, happened, string(written))
		})
	}
}

// perform runs the commands of a transcript and returns the transcript with
// their output.
func perform(t testing.TB, w *world, transcript string) string {
	t.Helper()
	var happened strings.Builder
	for line := range strings.Lines(transcript) {
		switch {
		case strings.HasPrefix(line, "$ "):
			happened.WriteString(line)
			happened.WriteString(w.stable(w.run(t, strings.TrimSpace(line[2:]))))
		case strings.HasPrefix(line, "#"), line == "\n":
			happened.WriteString(line)
		default:
			// Recorded output, which the new output replaces.
		}
	}
	return happened.String()
}

var (
	digest    = regexp.MustCompile(`sha256:[0-9a-f]{64}\b`)
	longID    = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	shortID   = regexp.MustCompile(`\b[0-9a-f]{12}\b`)
	duration  = regexp.MustCompile(`\bafter [0-9.]+m?s\b`)
	timestamp = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)`)
)

// stable replaces output that differs from run to run, and keeps columns
// aligned. It drops blank lines, because transcripts use them to separate
// steps.
func (w *world) stable(output string) string {
	output = strings.NewReplacer(
		w.root(), "$ROOT",
		w.execRoot(), "$EXECROOT",
		w.socket(), "$SOCKET",
		w.work, "$WORK",
	).Replace(output)
	output = digest.ReplaceAllString(output, "<digest>")
	output = longID.ReplaceAllString(output, "<plugin id>")
	output = shortID.ReplaceAllString(output, "<plugin id>.")
	output = duration.ReplaceAllString(output, "after <time>")
	output = timestamp.ReplaceAllString(output, "<time>")
	var kept strings.Builder
	for line := range strings.Lines(output) {
		if line = strings.TrimRight(line, " \t\r\n"); line != "" {
			kept.WriteString(line + "\n")
		}
	}
	return kept.String()
}
