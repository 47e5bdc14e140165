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

// noMeasure is what plugintest.CheckRoot finds that is no fault of docker's
// manager: it makes the content store when it is needed, what it began to fetch
// may be of use to it, and what a record says of blobs is not meant to last,
// for it notes no layers when it pulls and the old config when it upgrades, and
// collects manifests.
var noMeasure = regexp.MustCompile(`^ingest |: blob \S+ is missing$|are of two versions$|has no \w+ digest$|/storage\S*: no such file or directory$`)

// check looks at what docker's manager keeps on disk, where it keeps it as ours
// does, and whether each plugin has the files of the version that it says it is.
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
