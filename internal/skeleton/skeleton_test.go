// SPDX-License-Identifier: Apache-2.0

package skeleton

import (
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
	v2 "github.com/dovetailhq/plugin/v2"
)

// Each project is formatted, passes go vet and its own tests, and has a config without
// warnings except that it leaves the entrypoint to the build.
func TestProjects(t *testing.T) {
	assert.DeepEqual(t, Kinds(), []string{"authz", "log", "metrics", "network", "volume"})
	for _, name := range Kinds() {
		t.Run(name, func(t *testing.T) {
			directory := filepath.Join(t.TempDir(), "my-plugin")
			assert.NilError(t, Write(name, directory))
			checkSources(t, directory)
			command := exec.CommandContext(t.Context(), "go", "test", "-vet=all", "./...")
			command.Dir = directory
			output, err := command.CombinedOutput()
			assert.NilError(t, err, "%s", output)
			data, err := os.ReadFile(filepath.Join(directory, "config.json"))
			assert.NilError(t, err)
			config, err := v2.ParseConfig(data)
			assert.NilError(t, err)
			assert.NilError(t, v2.ValidateConfig(config))
			config.Entrypoint = []string{"/bin/my-plugin"}
			assert.DeepEqual(t, v2.ConfigWarnings(config), []string(nil))
		})
	}
}

// checkSources looks at each file of a project.
func checkSources(t *testing.T, directory string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	assert.NilError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
		content, err := os.ReadFile(filepath.Join(directory, entry.Name()))
		assert.NilError(t, err)
		assert.Check(t, !strings.Contains(string(content), "<no value>") && !strings.Contains(string(content), "{{"), "%s", content)
		if filepath.Ext(entry.Name()) == ".go" {
			formatted, err := format.Source(content)
			assert.NilError(t, err)
			assert.Equal(t, string(content), string(formatted))
		}
	}
	assert.DeepEqual(t, names, []string{"README.md", "config.json", "driver.go", "driver_test.go", "go.mod", "go.sum", "main.go", "main_test.go"})
}

func TestWriteErrors(t *testing.T) {
	used := filepath.Join(t.TempDir(), "used")
	assert.NilError(t, Write("volume", used))
	before, err := os.ReadFile(filepath.Join(used, "main.go"))
	assert.NilError(t, err)
	for name, tt := range map[string]struct{ kind, directory, want string }{
		"kind":      {"graph", filepath.Join(t.TempDir(), "x"), `kind "graph": use one of authz, log, metrics, network, volume`},
		"common":    {"common", filepath.Join(t.TempDir(), "x"), `kind "common"`},
		"name":      {"volume", filepath.Join(t.TempDir(), "My Plugin"), `directory name "My Plugin"`},
		"version":   {"volume", filepath.Join(t.TempDir(), "v2"), `directory name "v2"`},
		"not empty": {"log", used, "it is not empty: name a new one"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Write(tt.kind, tt.directory)
			assert.ErrorContains(t, err, tt.want)
			assert.ErrorType(t, err, new(Error))
		})
	}
	after, err := os.ReadFile(filepath.Join(used, "main.go"))
	assert.NilError(t, err)
	assert.Equal(t, string(after), string(before))
}

func TestErrorsArePlain(t *testing.T) { plaintexttest.Check(t, &Error{}) }
