package archtest

import (
	"fmt"
	"slices"
	"testing"

	"gotest.tools/v3/assert"
)

// mayLog is who may import the logger, outside tests. Everybody else returns
// errors: who asked decides what is worth a line.
var mayLog = []string{
	".", "cmd/...", "executor/...", "examples/...", "test/...",
	// A request ends here: what the daemon itself did wrong, and a panic, is
	// for its log, and there is no caller left to return it to.
	"engineapi",
	// It silences containerd's client, which would log what registries say.
	"internal/remote",
}

// loggers are what logs.
var loggers = []string{"github.com/containerd/log", "github.com/sirupsen/logrus", "log", "log/slog"}

func TestOnlyTheTopLogs(t *testing.T) { check(t, loggingRooms) }

// loggingRooms finds rooms that log and may not.
func loggingRooms(sources []source) []string {
	var problems []string
	for _, s := range house(sources) {
		if s.isTest() || matches(mayLog, s.room()) {
			continue
		}
		for _, imported := range importsOf(s) {
			if slices.Contains(loggers, imported) {
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
		{"root", "a.go", "github.com/containerd/log", nil},
		{"executor", "executor/runc/a.go", "github.com/containerd/log", nil},
		{"edge", "engineapi/a.go", "github.com/containerd/log", nil},
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
