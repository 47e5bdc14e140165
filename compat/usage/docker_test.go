// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"go/types"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/compat/internal/modfile"
)

const (
	docker  = "github.com/docker/docker"
	dockers = docker + "/plugin"
	ours    = "github.com/dovetailhq/plugin"
)

// replaced are the packages that change with the import path.
var replaced = []string{"", "/v2", "/executor/containerd"}

// TestDockerItself type-checks every package of docker that uses the plugin
// packages, with ours in their place. A problem that docker's own packages do
// not cause in the same place is ours.
func TestDockerItself(t *testing.T) {
	modfiles, err := modfile.All("..")
	assert.NilError(t, err)
	for _, m := range modfiles {
		t.Run(m.Docker, func(t *testing.T) {
			world := dockerWorld(t, m)
			direct, users := world.source.Users(dockers)
			given := world.load(t, users)

			before := check(t, world.source, users, given, replacing(dockers, given))
			after := check(t, world.source, users, given, replacing(ours, given))
			without := check(t, world.source, users, given, nothing())
			for _, user := range users {
				assert.DeepEqual(t, news(before[user], after[user]), []string(nil))
				assert.Equal(t, after[user].Uses, before[user].Uses, user)
			}
			// A check that accepts anything proves nothing.
			for _, user := range direct {
				assert.Check(t, after[user].Uses > 0, user)
				assert.Check(t, len(news(before[user], without[user])) > 0, user)
			}
		})
	}
}

func check(t *testing.T, source *Source, users []string, given, replacements map[string]*types.Package) map[string]Result {
	t.Helper()
	results, err := Check(source, users, given, replacements)
	assert.NilError(t, err)
	return results
}

// news returns the problems that the replacements cause.
func news(before, after Result) []string {
	var problems []string
	for _, problem := range after.Problems {
		if !slices.Contains(before.Problems, problem) {
			problems = append(problems, problem)
		}
	}
	return problems
}

// nothing returns empty packages in the place of docker's.
func nothing() map[string]*types.Package {
	empty := map[string]*types.Package{}
	for _, suffix := range replaced {
		p := types.NewPackage(dockers+suffix, path.Base("plugin"+suffix))
		p.MarkComplete()
		empty[dockers+suffix] = p
	}
	return empty
}

// world is docker's module in the version of a modfile.
type world struct {
	modfile modfile.Modfile
	source  *Source
}

func dockerWorld(t *testing.T, m modfile.Modfile) world {
	t.Helper()
	config := loading(m, packages.NeedName|packages.NeedModule)
	loaded, err := packages.Load(config, dockers)
	assert.NilError(t, err)
	assert.Equal(t, len(loaded), 1)
	source, err := ReadSource(docker, loaded[0].Module.Dir)
	assert.NilError(t, err)
	return world{modfile: m, source: source}
}

// load loads the plugin packages, docker's and ours, with all their imports,
// and the packages of the standard library that users import. It loads them in
// one call, so that equal names are equal types.
func (w world) load(t *testing.T, users []string) map[string]*types.Package {
	t.Helper()
	var wanted []string
	for _, suffix := range replaced {
		wanted = append(wanted, dockers+suffix, ours+suffix)
	}
	for _, importPath := range w.source.Closure(users) {
		for _, imported := range w.source.Imports(importPath) {
			if domain, _, _ := strings.Cut(imported, "/"); !strings.Contains(domain, ".") && imported != "C" {
				wanted = append(wanted, imported)
			}
		}
	}
	slices.Sort(wanted)

	config := loading(w.modfile, packages.NeedName|packages.NeedImports|packages.NeedDeps|packages.NeedTypes|packages.NeedExportFile)
	loaded, err := packages.Load(config, slices.Compact(wanted)...)
	assert.NilError(t, err)
	assert.Check(t, len(loaded) > 0)
	given := map[string]*types.Package{}
	packages.Visit(loaded, nil, func(p *packages.Package) {
		if len(p.Errors) == 0 && !p.IllTyped {
			given[p.PkgPath] = p.Types
		}
	})
	return given
}

func loading(m modfile.Modfile, mode packages.LoadMode) *packages.Config {
	return &packages.Config{
		Mode:       mode,
		Dir:        "..",
		Env:        append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux"),
		BuildFlags: []string{"-modfile=" + m.Name},
	}
}

// replacing returns the packages at prefix in the place of docker's.
func replacing(prefix string, given map[string]*types.Package) map[string]*types.Package {
	replacements := map[string]*types.Package{}
	for _, suffix := range replaced {
		if p, ok := given[prefix+suffix]; ok {
			replacements[dockers+suffix] = p
		}
	}
	return replacements
}
