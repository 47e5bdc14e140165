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

// Family is a package and packages below it.
type Family struct {
	// Prefix is the import path of the package at the top.
	Prefix string
	// Packages is the family's packages, by import path relative to the
	// top's parent, so that packages which replace each other have one name.
	Packages map[string]*types.Package
}

// name returns what a package is called within the family: "plugin/v2" for
// both github.com/docker/docker/plugin/v2 and github.com/dovetailhq/plugin/v2.
func (f Family) name(path string) (name string, ok bool) {
	below, ok := strings.CutPrefix(path, f.Prefix)
	if !ok || (below != "" && below[0] != '/') {
		return "", false
	}
	return f.top() + below, true
}

// path is the import path of what name calls by this name.
func (f Family) path(name string) string { return f.Prefix + strings.TrimPrefix(name, f.top()) }

func (f Family) top() string { return f.Prefix[strings.LastIndex(f.Prefix, "/")+1:] }

// Loader loads families with the go command. The zero value loads what the
// module in the current directory imports, for this machine.
type Loader struct {
	// Dir is a directory of the module that imports the families.
	Dir string
	// Modfile is used in place of the module's go.mod, unless it is empty.
	Modfile string
	// GOOS is the operating system to load for; empty means this one.
	GOOS string
}

// Load loads the package prefix and all packages below it. Errors in any of
// them are an error.
func (l Loader) Load(prefix string) (Family, error) {
	return l.load(prefix, prefix+"/...")
}

// Replacement loads the packages at prefix that replace those of old. One
// that does not exist is left out; errors in any are an error.
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
		if p.Name == "" { // there is no such package
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
