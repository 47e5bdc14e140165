// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/docker/docker/api/types/filters"

	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/test/crash/drive"
)

// noMeasure matches findings of plugintest.CheckRoot that are not held
// against docker's manager. It makes the content store when it needs it, and can still
// use downloads that it began. Its records do not keep track of blobs: they
// have no layers after a pull and the old config after an upgrade, and its
// collection deletes manifests.
var noMeasure = regexp.MustCompile(`^ingest |: blob \S+ is missing$|are of two versions$|has no \w+ digest$|/storage\S*: no such file or directory$`)

// check checks the files of docker's manager, which are where ours has them,
// and whether each plugin has the files of its version.
func check(paths drive.Paths, manager drive.Manager, executor *plugintest.Executor) []string {
	err := plugintest.CheckRoot(paths.Root, plugintest.RootCheck{
		ExecRoot: paths.ExecRoot, Executor: executor, SelfModifying: true,
	})
	var problems []string
	var found *plugintest.RootError
	if errors.As(err, &found) {
		problems = slices.DeleteFunc(found.Problems, noMeasure.MatchString)
	} else if err != nil {
		return []string{err.Error()}
	}
	plugins, err := manager.List(filters.NewArgs())
	if err != nil {
		return append(problems, err.Error())
	}
	for _, p := range plugins {
		rootfs := filepath.Join(paths.Root, p.ID, "rootfs")
		for _, difference := range versions.Differences(rootfs, p.Config.Description) {
			problems = append(problems, "plugin "+p.ID+": rootfs: "+difference)
		}
	}
	return problems
}
