// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// mayImport lists, for each room, the rooms that it may import outside tests. A
// name that ends in /... stands for all rooms below it. A room that is not listed
// is an error.
var mayImport = map[string][]string{
	".":                                   {"v2", "internal/..."},
	"v2":                                  {"internal/socketpath"},
	"engineapi":                           {"."},
	"cmd/...":                             {".", "v2", "engineapi", "executor/...", "internal/build", "internal/dirlock", "internal/skeleton", "internal/socketpath", "internal/watch"},
	"executor/...":                        {"executor/internal/...", "internal/dirlock"},
	"executor/internal/attend/attendtest": {"internal/testenv"},
	"plugintest":                          {".", "v2", "plugintest/...", "internal/socketpath"},
	"plugintest/...":                      {".", "v2", "plugintest/..."},
	"test/...":                            {},
	"test/crash/drive":                    {"plugintest", "plugintest/...", "test/crash/..."},
	"test/crash/driver":                   {".", "internal/durable", "plugintest", "plugintest/...", "test/crash/..."},
	"test/crash/harness":                  {"test/crash/..."},
	"test/crash/history":                  {},
	"test/manager":                        {"internal/..."},
	"test/real":                           {"internal/testworld"},
	"test/hostile/corpus":                 {"plugintest"},
	"test/hostile/driver":                 {".", "plugintest", "plugintest/...", "test/hostile/corpus"},
	"internal/archtest":                   {},
	"internal/backups":                    {"v2", "internal/blobs", "internal/layout", "internal/rootfs"},
	"internal/blobs":                      {"internal/durable"},
	"internal/legacy":                     {},
	"internal/legacyroot":                 {"v2"},
	"internal/bounded":                    {},
	"internal/build":                      {"v2", "internal/blobs", "internal/distribution", "internal/imagefile", "internal/remote", "internal/rootfs"},
	"internal/class":                      {},
	"internal/bounded/boundedtest":        {"internal/testenv"},
	"internal/broadcast":                  {},
	"internal/diagnose":                   {},
	"internal/dirlock":                    {},
	"internal/distribution":               {"v2", "internal/blobs", "internal/ids", "internal/imagefile", "internal/remote", "internal/rootfs"},
	"internal/durable":                    {"internal/trees"},
	"internal/hardening":                  {},
	"internal/layout":                     {"internal/dirlock", "internal/durable", "internal/trees"},
	"internal/lifecycle":                  {},
	"internal/memnet":                     {},
	"internal/mounts":                     {},
	"internal/logbook":                    {"internal/durable", "internal/layout"},
	"internal/logging":                    {},
	"internal/plaintext":                  {},
	"internal/plaintext/plaintexttest":    {},
	"internal/pluginclient":               {"internal/socketpath"},
	"internal/privilege":                  {},
	"internal/inflate":                    {},
	"internal/imagefile":                  {"internal/remote", "internal/rootfs"},
	"internal/imagefile/imagefiletest":    {},
	"internal/index":                      {"v2", "internal/ids"},
	"internal/members":                    {"internal/inflate"},
	"internal/ids":                        {},
	"internal/remote":                     {"internal/blobs", "internal/ids"},
	"internal/rootfs":                     {"internal/inflate", "internal/members", "internal/trees"},
	"internal/seam":                       {"internal/durable"},
	"internal/testenv":                    {},
	"internal/testseed":                   {},
	"internal/testworld":                  {".", "internal/durable", "internal/seam", "internal/supervise", "plugintest", "plugintest/..."},
	"internal/siblings":                   {},
	"internal/socketpath":                 {},
	"internal/supervise":                  {"internal/lifecycle", "internal/socketpath"},
	"internal/skeleton":                   {},
	"internal/trees":                      {},
	"internal/watch":                      {},
}

// everyRoomMayImport lists rooms that any room may import; mayLog restricts
// logging further.
var everyRoomMayImport = []string{"internal/bounded", "internal/class", "internal/plaintext", "internal/logging"}

// testsMayImport lists what the tests of any room may import in addition.
var testsMayImport = []string{"v2", "internal/bounded/boundedtest", "internal/imagefile/imagefiletest", "internal/memnet", "internal/testenv", "internal/testseed", "internal/plaintext/plaintexttest", "plugintest", "plugintest/...", "executor/..."}

// restricted lists, for packages of other modules, where in the repository they
// may be imported: by the first element of a file's path, or "." for the root. A
// package stands also for the packages below it.
var restricted = map[string][]string{
	// Dovetail replaces it: only code that compares the two may import it.
	"github.com/docker/docker/plugin": {"bench", "compat"},
	// internal/ids replaces it.
	"github.com/docker/docker/pkg/stringid": {},
	// fmt and errors of the standard library replace it.
	"github.com/pkg/errors": {},
}

func TestRoomsImportWhatTheyMay(t *testing.T) { check(t, directions) }

func TestRestrictedPackages(t *testing.T) { check(t, restrictions) }

// directions lists imports within the module that mayImport does not allow.
func directions(sources []source) []string {
	var problems []string
	for _, s := range house(sources) {
		allowed, known := lookUp(s.room())
		if !known {
			problems = append(problems, fmt.Sprintf("%s: room %s is not in the table mayImport", s.path, s.room()))
			continue
		}
		if s.isTest() {
			allowed = slices.Concat(allowed, testsMayImport, underTest(s.room()))
		}
		allowed = slices.Concat(allowed, everyRoomMayImport)
		for _, imported := range importsOf(s) {
			room, ours := roomOf(imported)
			if ours && !matches(allowed, room) {
				problems = append(problems, fmt.Sprintf("%s: %s may not import %s", s.path, s.room(), room))
			}
		}
	}
	return problems
}

// restrictions lists imports that restricted does not allow.
func restrictions(sources []source) []string {
	var problems []string
	for _, s := range sources {
		place, _, below := strings.Cut(s.path, "/")
		if !below {
			place = "."
		}
		for _, imported := range importsOf(s) {
			for restrictedPath, places := range restricted {
				is := imported == restrictedPath || strings.HasPrefix(imported, restrictedPath+"/")
				if is && !slices.Contains(places, place) {
					problems = append(problems, fmt.Sprintf("%s: %s may not be imported here", s.path, imported))
				}
			}
		}
	}
	return problems
}

// underTest returns the rooms that the tests of a room test.
func underTest(room string) []string {
	if strings.HasPrefix(room, "test/") {
		return []string{".", "v2", "engineapi", "executor/...", "test/..."}
	}
	return []string{room}
}

func lookUp(room string) (allowed []string, known bool) {
	if allowed, known = mayImport[room]; known {
		return allowed, true
	}
	for _, pattern := range slices.Sorted(maps.Keys(mayImport)) {
		if matches([]string{pattern}, room) {
			return mayImport[pattern], true
		}
	}
	return nil, false
}

func matches(patterns []string, room string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		above, all := strings.CutSuffix(pattern, "/...")
		return pattern == room || all && strings.HasPrefix(room, above+"/")
	})
}

func importsOf(s source) []string {
	var paths []string
	for _, spec := range s.syntax.Imports {
		// The parser has checked that the path is a string.
		imported, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, imported)
	}
	return paths
}

func roomOf(imported string) (room string, ours bool) {
	if imported != module && !strings.HasPrefix(imported, module+"/") {
		return "", false
	}
	return path.Clean(strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")), true
}

func TestDirectionsFinds(t *testing.T) {
	importing := func(imported string) string { return "package p\nimport _ \"" + imported + "\"" }
	tests := []struct {
		name string
		file string
		uses string
		want []string
	}{
		{"root and handle", "a.go", module + "/v2", nil},
		{"root and a room", "a.go", module + "/internal/layout", nil},
		{"root and an executor", "a.go", module + "/executor/runc", []string{"a.go: . may not import executor/runc"}},
		{"handle and a room", "v2/a.go", module + "/internal/durable", []string{"v2/a.go: v2 may not import internal/durable"}},
		{"daemon and executor", "cmd/plugind/a.go", module + "/executor/containerd", nil},
		{"daemon and a room", "cmd/plugind/a.go", module + "/internal/layout", []string{"cmd/plugind/a.go: cmd/plugind may not import internal/layout"}},
		{"executor and root", "executor/runc/a.go", module, []string{"executor/runc/a.go: executor/runc may not import ."}},
		{"room and root", "internal/layout/a.go", module, []string{"internal/layout/a.go: internal/layout may not import ."}},
		{"a test of a room and root", "internal/layout/a_test.go", module, []string{"internal/layout/a_test.go: internal/layout may not import ."}},
		{"a test of an executor and the kit", "executor/runc/a_test.go", module + "/plugintest/executortest", nil},
		{"a test and what it tests", "internal/layout/a_test.go", module + "/internal/layout", nil},
		{"layout and durable", "internal/layout/a.go", module + "/internal/durable", nil},
		{"durable and layout", "internal/durable/a.go", module + "/internal/layout", []string{"internal/durable/a.go: internal/durable may not import internal/layout"}},
		{"an executor and a leaf for all", "executor/runc/a.go", module + "/internal/plaintext", nil},
		{"end-to-end test", "test/cli/a_test.go", module + "/executor/runc", nil},
		{"new room", "internal/attic/a.go", "fmt", []string{"internal/attic/a.go: room internal/attic is not in the table mayImport"}},
		{"similar name", "internal/durable/a.go", module + "s/internal/layout", nil},
		{"test data", "v2/testdata/a/a.go", module + "/internal/durable", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.DeepEqual(t, directions(drawing{tt.file: importing(tt.uses)}.sources(t)), tt.want)
		})
	}
}

func TestRestrictionsFinds(t *testing.T) {
	importing := func(imported string) string { return "package p\nimport _ \"" + imported + "\"" }
	const peer = "github.com/docker/docker/plugin"
	tests := []struct {
		name string
		file string
		uses string
		want []string
	}{
		{"peer in the root", "a.go", peer, []string{"a.go: " + peer + " may not be imported here"}},
		{"peer in a test", "v2/a_test.go", peer + "/v2", []string{"v2/a_test.go: " + peer + "/v2 may not be imported here"}},
		{"peer in a nested module", "tools/a/a.go", peer, []string{"tools/a/a.go: " + peer + " may not be imported here"}},
		{"peer in test data", "v2/testdata/a.go", peer, []string{"v2/testdata/a.go: " + peer + " may not be imported here"}},
		{"peer in bench", "bench/a.go", peer, nil},
		{"peer in compat", "compat/deep/a_test.go", peer + "/executor/containerd", nil},
		{"docker's other packages", "a.go", "github.com/docker/docker/pkg/plugins", nil},
		{"similar name", "a.go", peer + "getter", nil},
		{"old errors", "a.go", "github.com/pkg/errors", []string{"a.go: github.com/pkg/errors may not be imported here"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sources := drawing{tt.file: importing(tt.uses), "tools/go.mod": "module tools", "bench/go.mod": "module bench"}.sources(t)
			assert.DeepEqual(t, restrictions(sources), tt.want)
		})
	}
}
