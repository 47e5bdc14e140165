// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"go/types"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// Family is a package and the packages below it.
type Family struct {
	// Prefix is the import path of the package at the top.
	Prefix string
	// Packages is the family's packages, by import path relative to the top's
	// parent. Packages that replace each other have the same key.
	Packages map[string]*types.Package
}

// name returns a package's name within the family: "plugin/v2" for both
// github.com/docker/docker/plugin/v2 and github.com/dovetailhq/plugin/v2.
func (f Family) name(path string) (name string, ok bool) {
	below, ok := strings.CutPrefix(path, f.Prefix)
	if !ok || (below != "" && below[0] != '/') {
		return "", false
	}
	return f.top() + below, true
}

// path is the inverse of name.
func (f Family) path(name string) string { return f.Prefix + strings.TrimPrefix(name, f.top()) }

func (f Family) top() string { return f.Prefix[strings.LastIndex(f.Prefix, "/")+1:] }

// Loader loads families with the go command. The zero value loads the imports
// of the module in the current directory, built for the host's platform.
type Loader struct {
	// Dir is a directory of the module that imports the families.
	Dir string
	// Modfile, unless empty, replaces the module's go.mod.
	Modfile string
	// GOOS is the operating system to load for. Empty means this one.
	GOOS string
}

// Load loads the package prefix and all packages below it. It fails if any of
// them has errors.
func (l Loader) Load(prefix string) (Family, error) {
	return l.load(prefix, prefix+"/...")
}

// Replacement loads the packages at prefix that replace those of old. It skips
// packages that do not exist, and fails if any other has errors.
func (l Loader) Replacement(old Family, prefix string) (Family, error) {
	paths := []string{}
	for _, name := range slices.Sorted(maps.Keys(old.Packages)) {
		paths = append(paths, Family{Prefix: prefix}.path(name))
	}
	return l.load(prefix, paths...)
}

func (l Loader) load(prefix string, patterns ...string) (Family, error) {
	family := Family{Prefix: prefix, Packages: map[string]*types.Package{}}
	loaded, err := packages.Load(l.config(), patterns...)
	if err != nil {
		return family, fmt.Errorf("load %s: %w", strings.Join(patterns, " "), err)
	}
	var problems []error
	for _, p := range loaded {
		if p.Name == "" { // the package does not exist
			continue
		}
		for _, problem := range p.Errors {
			problems = append(problems, fmt.Errorf("load %s: %w", p.PkgPath, problem))
		}
		if name, ok := family.name(p.PkgPath); ok {
			family.Packages[name] = p.Types
		}
	}
	return family, errors.Join(problems...)
}

func (l Loader) config() *packages.Config {
	config := &packages.Config{
		Mode: packages.NeedName | packages.NeedImports | packages.NeedTypes | packages.NeedExportFile,
		Dir:  l.Dir,
		Env:  append(os.Environ(), "CGO_ENABLED=0"),
	}
	if l.Modfile != "" {
		config.BuildFlags = []string{"-modfile=" + l.Modfile}
	}
	if l.GOOS != "" {
		config.Env = append(config.Env, "GOOS="+l.GOOS)
	}
	return config
}
