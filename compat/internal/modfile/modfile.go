// SPDX-License-Identifier: Apache-2.0

// Package modfile finds the modfiles of this module. Each selects the version
// of docker to compare with, and nothing else: go.mod the newest,
// go.docker-VERSION.mod an older one. Tests that load packages themselves run
// once for each. All other tests see the docker version of their build.
package modfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
)

const docker = "github.com/docker/docker"

// Modfile is a modfile of this module.
type Modfile struct {
	// Name is the file's name in the module's directory, for -modfile.
	Name string
	// Docker is the version of docker that it selects, such as "v28.5.2".
	Docker string
}

// All returns the modfiles in dir, the module's directory.
func All(dir string) ([]Modfile, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "go.docker-*.mod"))
	if err != nil {
		return nil, err
	}
	var all []Modfile
	for _, path := range append(paths, filepath.Join(dir, "go.mod")) {
		file, err := parse(path)
		if err != nil {
			return nil, err
		}
		version, _, _ := strings.Cut(selected(file), "+")
		all = append(all, Modfile{Name: filepath.Base(path), Docker: version})
	}
	return all, nil
}

func parse(path string) (*modfile.File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	file, err := modfile.Parse(path, data, nil)
	if err != nil {
		return nil, fmt.Errorf("parse modfile: %w", err)
	}
	return file, nil
}

// selected returns the version of docker that a modfile replaces all others
// with, or the version that it requires.
func selected(file *modfile.File) string {
	for _, replace := range file.Replace {
		if replace.Old.Path == docker {
			return replace.New.Version
		}
	}
	for _, require := range file.Require {
		if require.Mod.Path == docker {
			return require.Mod.Version
		}
	}
	return ""
}
