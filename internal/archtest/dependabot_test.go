// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// Dependabot watches every module of the repository.
func TestDependabotWatchesEveryModule(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", ".github", "dependabot.yml"))
	assert.NilError(t, err)
	modules, err := modulesIn(os.DirFS(filepath.Join("..", "..")))
	assert.NilError(t, err)
	assert.Assert(t, len(modules) > 5, "%q", modules)
	assert.DeepEqual(t, watched(string(content)), modules)
}

// modulesIn returns the directories with a go.mod, sorted, without test data.
func modulesIn(tree fs.FS) (modules []string, err error) {
	err = fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || name != "." && strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case entry.Name() == "go.mod":
			modules = append(modules, path.Join("/", path.Dir(name)))
		}
		return nil
	})
	slices.Sort(modules)
	return modules, err
}

var directories = regexp.MustCompile(`(?m)gomod\n +director(?:y|ies): (.*)$`)

// watched returns the directories that the configuration names for Go modules, sorted.
func watched(config string) (all []string) {
	for _, match := range directories.FindAllStringSubmatch(config, -1) {
		all = append(all, strings.Split(strings.Trim(match[1], "[]"), ", ")...)
	}
	slices.Sort(all)
	return all
}

func TestWatchedFinds(t *testing.T) {
	const config = "updates:\n  - package-ecosystem: github-actions\n    directory: /x\n  - package-ecosystem: gomod\n    directory: /c\n" +
		"  - package-ecosystem: gomod\n    directories: [/, /b]\n"
	assert.DeepEqual(t, watched(config), []string{"/", "/b", "/c"})
}
