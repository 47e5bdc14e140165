// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"errors"
	"go/build"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Source is the source of a module.
type Source struct {
	// Path is the module's path and Dir its directory.
	Path, Dir string
	packages  map[string]*build.Package
}

// ReadSource finds the packages of a module, as built for Linux without cgo.
func ReadSource(modulePath, dir string) (*Source, error) {
	s := &Source{Path: modulePath, Dir: dir, packages: map[string]*build.Package{}}
	err := filepath.WalkDir(dir, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if at != dir && s.isForeign(at) {
			return filepath.SkipDir
		}
		return s.read(at)
	})
	return s, err
}

// isForeign reports whether a directory holds no packages of the module.
func (s *Source) isForeign(dir string) bool {
	name := filepath.Base(dir)
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil || name == "vendor" || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func (s *Source) read(dir string) error {
	linux := build.Default
	linux.GOOS, linux.CgoEnabled = "linux", false
	p, err := linux.ImportDir(dir, 0)
	var none *build.NoGoError
	var several *build.MultiplePackageError
	if errors.As(err, &none) || errors.As(err, &several) {
		return nil // not importable
	}
	if err != nil {
		return err
	}
	below, err := filepath.Rel(s.Dir, dir)
	if err != nil {
		return err
	}
	s.packages[path.Join(s.Path, filepath.ToSlash(below))] = p
	return nil
}

// Users returns the packages of the module that import a package at or below
// prefix, except those packages themselves. all also has those that import it
// through other packages of the module.
func (s *Source) Users(prefix string) (direct, all []string) {
	users := map[string]bool{}
	uses := func(p *build.Package) bool {
		return slices.ContainsFunc(p.Imports, func(imported string) bool { return atOrBelow(imported, prefix) || users[imported] })
	}
	for before := -1; before < len(users); {
		if before == 0 {
			direct = slices.Sorted(maps.Keys(users))
		}
		before = len(users)
		found := map[string]bool{}
		for importPath, p := range s.packages {
			if !atOrBelow(importPath, prefix) && uses(p) {
				found[importPath] = true
			}
		}
		maps.Copy(users, found)
	}
	return direct, slices.Sorted(maps.Keys(users))
}

// Closure returns the packages and all packages of the module that they import.
func (s *Source) Closure(importPaths []string) []string {
	closure := slices.Clone(importPaths)
	for i := 0; i < len(closure); i++ {
		for _, imported := range s.Imports(closure[i]) {
			if s.packages[imported] != nil && !slices.Contains(closure, imported) {
				closure = append(closure, imported)
			}
		}
	}
	slices.Sort(closure)
	return closure
}

// Imports returns the imports of a package of the module and of its tests.
func (s *Source) Imports(importPath string) []string {
	p := s.packages[importPath]
	return slices.Concat(p.Imports, p.TestImports)
}

func atOrBelow(importPath, prefix string) bool {
	return importPath == prefix || strings.HasPrefix(importPath, prefix+"/")
}
