// SPDX-License-Identifier: Apache-2.0

package modfile

import (
	"os"
	"path/filepath"
	"testing"

	"gotest.tools/v3/assert"
)

func TestAllFindsTheVersions(t *testing.T) {
	all, err := All("../..")
	assert.NilError(t, err)
	assert.DeepEqual(t, all, []Modfile{
		{Name: "go.docker-28.3.0.mod", Docker: "v28.3.0"},
		{Name: "go.mod", Docker: "v28.5.2"},
	})
}

// Other differences would show as differences between versions of docker.
func TestModfilesDifferInDockerOnly(t *testing.T) {
	all, err := All("../..")
	assert.NilError(t, err)
	assert.Check(t, len(all) > 1)
	newest := formattedWithoutReplacement(t, "../../go.mod")
	for _, m := range all {
		t.Run(m.Name, func(t *testing.T) {
			assert.Equal(t, formattedWithoutReplacement(t, filepath.Join("../..", m.Name)), newest)
		})
	}
}

func formattedWithoutReplacement(t *testing.T, path string) string {
	t.Helper()
	file, err := parse(path)
	assert.NilError(t, err)
	assert.NilError(t, file.DropReplace(docker, ""))
	file.Cleanup()
	text, err := file.Format()
	assert.NilError(t, err)
	return string(text)
}

func TestAllRefuses(t *testing.T) {
	tests := []struct {
		name, file, text string
		want             string
	}{
		{"no go.mod", "other.mod", "module m\n", "no such file"},
		{"nonsense", "go.mod", "nonsense\n", "parse modfile"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			assert.NilError(t, os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o600))
			_, err := All(dir)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestSelected(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"required", "module m\nrequire github.com/docker/docker v28.5.2+incompatible\n", "v28.5.2"},
		{"replaced", "module m\nrequire github.com/docker/docker v28.5.2+incompatible\nreplace github.com/docker/docker => github.com/docker/docker v28.3.0+incompatible\n", "v28.3.0"},
		{"absent", "module m\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			assert.NilError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(tt.text), 0o600))
			all, err := All(dir)
			assert.NilError(t, err)
			assert.DeepEqual(t, all, []Modfile{{Name: "go.mod", Docker: tt.want}})
		})
	}
}
