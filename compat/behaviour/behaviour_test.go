// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containerd/log"
	"gotest.tools/v3/assert"
	"gotest.tools/v3/golden"

	"github.com/dovetailhq/plugin/compat/internal/subject"
)

func TestMain(m *testing.M) {
	log.L.Logger.SetOutput(io.Discard) // docker's manager logs nowhere else
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil { // most of the time is waiting
		panic(err)
	}
	os.Exit(inEmptyDirectory(m.Run))
}

// documentPath is absolute, because tests change the directory.
var documentPath, _ = filepath.Abs("../../docs/differences.md")

// inEmptyDirectory runs in an empty directory, because docker's manager moves
// things into the current one.
func inEmptyDirectory(run func() int) int {
	dir, err := os.MkdirTemp("", "dt")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chdir(dir); err != nil {
		panic(err)
	}
	return run()
}

func TestSideBySide(t *testing.T) {
	var mu sync.Mutex
	recordings := map[string]Recording{}
	t.Run("subjects", func(t *testing.T) {
		for name, start := range subject.All() {
			if raceDetector && name == "docker" {
				continue // its races in Enable and Push would fail the test
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				played := Play(t, start, scenarios)
				mu.Lock()
				defer mu.Unlock()
				recordings[name] = played
			})
		}
	})
	if raceDetector {
		t.Log("under the race detector nothing is compared: docker's manager has data races")
		return
	}
	deviations := Compare(recordings["docker"], recordings["dovetail"])
	unexplained, idle := Account(deviations, Accepted)
	for _, d := range unexplained {
		t.Errorf("unlisted difference in %s [%s]\n  docker: %s\n  ours:   %s", d.Step, d.Aspect, d.Docker, d.Ours)
	}
	for _, seen := range idle {
		t.Errorf("listed difference does not occur: %+v", seen)
	}
	t.Logf("%d observations of docker's manager, %d differ, all as listed", len(recordings["docker"]), len(deviations)-len(unexplained))
}

// TestDocument compares docs/differences.md with the list; -update writes it.
func TestDocument(t *testing.T) {
	document := Document(Accepted, scenarios)
	if golden.FlagUpdate() {
		assert.NilError(t, os.MkdirAll(filepath.Dir(documentPath), 0o755))
		assert.NilError(t, os.WriteFile(documentPath, []byte(document), 0o644))
	}
	written, err := os.ReadFile(documentPath)
	assert.NilError(t, err)
	assert.Equal(t, string(written), document, "run go test ./behaviour -run TestDocument -update")
}
