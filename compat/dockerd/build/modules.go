// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"debug/buildinfo"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// raises lists what our go.mod may raise against docker's pins: the version of
// docker, or * for all, the module, and its version here.
//
//go:embed raises.txt
var raises string

// compareModules prints the modules that the two daemons link in different
// versions. It fails for modules that are not in the list.
func compareModules(w io.Writer, version, stock, ours string) error {
	was, err := linked(stock)
	if err != nil {
		return err
	}
	is, err := linked(ours)
	if err != nil {
		return err
	}
	found := differing(was, is)
	for _, r := range found {
		fmt.Fprintf(w, "raised: %s\n", r)
	}
	return unlisted(found, allowed(raises, version))
}

// linked returns the versions of the modules that a program links.
func linked(path string) (map[string]string, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, err
	}
	versions := map[string]string{}
	for _, module := range info.Deps {
		versions[module.Path] = module.Version
	}
	return versions, nil
}

// raise is a module that our daemon links in another version, or that only our daemon links.
type raise struct{ module, docker, ours string }

func (r raise) String() string {
	if r.docker == "" {
		return fmt.Sprintf("%s %s, which docker does not link", r.module, r.ours)
	}
	return fmt.Sprintf("%s from %s to %s", r.module, r.docker, r.ours)
}

func differing(stock, ours map[string]string) []raise {
	var found []raise
	for _, module := range slices.Sorted(maps.Keys(ours)) {
		if module != dovetail && stock[module] != ours[module] {
			found = append(found, raise{module, stock[module], ours[module]})
		}
	}
	return found
}

// allowed reads the list for a version of docker: versions by module.
func allowed(list, version string) map[string]string {
	versions := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(list))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) >= 3 && (words[0] == "*" || words[0] == version) {
			versions[words[1]] = words[2]
		}
	}
	return versions
}

// unlisted returns an error for raises that are not in the list, and for entries
// of the list that did not occur.
func unlisted(found []raise, listed map[string]string) error {
	var problems []error
	for _, r := range found {
		if listed[r.module] != r.ours {
			problems = append(problems, fmt.Errorf("%s is not in raises.txt", r))
		}
		delete(listed, r.module)
	}
	for _, module := range slices.Sorted(maps.Keys(listed)) {
		problems = append(problems, fmt.Errorf("%s is in raises.txt and not raised", module))
	}
	return errors.Join(problems...)
}
