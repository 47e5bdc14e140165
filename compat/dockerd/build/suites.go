// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"path/filepath"
	"strings"
)

// suites are the packages of docker's own tests that plugins are the subject of,
// each with the programs of plugins that it would build.
var suites = map[string]map[string]string{
	"integration/plugin/common":  {"docker-basic-plugin": "testutil/fixtures/plugin/basic"},
	"integration/plugin/volumes": {"dummy": "integration/plugin/volumes/cmd/dummy"},
	"integration/plugin/logging": {
		"dummy":          "integration/plugin/logging/cmd/dummy",
		"discard":        "integration/plugin/logging/cmd/discard",
		"close_on_start": "integration/plugin/logging/cmd/close_on_start",
	},
	"integration/plugin/authz": {},
	"integration-cli":          {"docker-basic-plugin": "testutil/fixtures/plugin/basic"},
	"integration/service":      {"docker-basic-plugin": "testutil/fixtures/plugin/basic"},
}

// buildSuites builds docker's own tests from the stock tree, for both daemons.
func (t tree) buildSuites(ctx context.Context) error {
	for suite, plugins := range suites {
		name := filepath.Join(filepath.Dir(t.path), "moby", strings.ReplaceAll(suite, "/", "-"))
		if _, err := output(ctx, t.path, "go", append(append([]string{"test", "-c", "-vet=off"}, flags...), "-o", name+".test", "./"+suite)...); err != nil {
			return err
		}
		for program, source := range plugins {
			// A plugin has no libraries in its rootfs.
			static := append([]string{"build", "-ldflags", "-extldflags -static"}, flags...)
			if _, err := output(ctx, t.path, "go", append(static, "-o", filepath.Join(name, "bin", program), "./"+source)...); err != nil {
				return err
			}
		}
	}
	return nil
}
