// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"slices"
	"testing"

	"gotest.tools/v3/assert"
)

// mayLog lists the rooms that may log outside tests. All others return errors,
// and the caller decides what to log.
var mayLog = []string{
	".", "cmd/...", "executor/...", "test/...", "internal/logging",
	// Requests end in engineapi. It logs panics and internal errors, because it
	// has no caller to which it could return them.
	"engineapi",
	// logbook writes the output of plugins to the daemon's log. A plugin is not a
	// caller to which it could return errors.
	"internal/logbook",
}

// mayLogRaw lists the rooms that may import another logger than internal/logging,
// which quotes untrusted text.
var mayLogRaw = []string{
	"test/...", "internal/logging",
}

const ownLogger = module + "/internal/logging"

// rawLoggers are the other loggers.
var rawLoggers = []string{"github.com/containerd/log", "github.com/sirupsen/logrus", "log", "log/slog"}

func TestOnlyTheTopLogs(t *testing.T) { check(t, loggingRooms) }

// loggingRooms lists files that log although their room may not, or that use the
// wrong logger.
func loggingRooms(sources []source) []string {
	var problems []string
	for _, s := range house(sources) {
		if s.isTest() {
			continue
		}
		for _, imported := range importsOf(s) {
			bad := imported == ownLogger && !matches(mayLog, s.room()) ||
				slices.Contains(rawLoggers, imported) && !matches(mayLogRaw, s.room())
			if bad {
				problems = append(problems, fmt.Sprintf("%s: %s may not log by %s", s.path, s.room(), imported))
			}
		}
	}
	return problems
}

func TestLoggingRoomsFinds(t *testing.T) {
	importing := func(imported string) string { return "package p\nimport _ \"" + imported + "\"" }
	for _, tt := range []struct {
		name string
		file string
		uses string
		want []string
	}{
		{"root", "a.go", ownLogger, nil},
		{"executor", "executor/runc/a.go", ownLogger, nil},
		{"edge", "engineapi/a.go", ownLogger, nil},
		{"root, raw", "a.go", "github.com/containerd/log", []string{"a.go: . may not log by github.com/containerd/log"}},
		{"executor, raw", "executor/runc/a.go", "log/slog", []string{"executor/runc/a.go: executor/runc may not log by log/slog"}},
		{"end-to-end test", "test/a/a.go", "log", nil},
		{"room by our own", "internal/layout/a.go", ownLogger, []string{"internal/layout/a.go: internal/layout may not log by " + ownLogger}},
		{"room", "internal/layout/a.go", "github.com/containerd/log", []string{"internal/layout/a.go: internal/layout may not log by github.com/containerd/log"}},
		{"handle", "v2/a.go", "log/slog", []string{"v2/a.go: v2 may not log by log/slog"}},
		{"a test of a room", "internal/layout/a_test.go", "log", nil},
		{"similar name", "internal/layout/a.go", "github.com/containerd/logs", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.DeepEqual(t, loggingRooms(drawing{tt.file: importing(tt.uses)}.sources(t)), tt.want)
		})
	}
}
