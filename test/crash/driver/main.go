// SPDX-License-Identifier: Apache-2.0

// Command driver drives Dovetail's manager, with a fake executor, for the
// harnesses that kill it or cut its power.
package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"

	"github.com/containerd/log"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/test/crash/drive"
)

// skipSync is an environment variable that breaks the manager on purpose. It
// skips the syncs of paths below Root that match it.
const skipSync = "DRIVER_SKIP_SYNC"

func main() {
	executor := &plugintest.Executor{}
	if err := log.SetLevel("error"); err != nil {
		panic(err) // the level exists
	}
	drive.Main(drive.Subject{
		Open: func(paths drive.Paths) (drive.Manager, error) { return open(paths, executor) },
		Check: func(paths drive.Paths, manager drive.Manager) []string {
			return check(paths, manager.(*managed).Manager, executor)
		},
		Versions: versions(),
	})
}

// versions returns versions that share mounts, if mounting is allowed.
func versions() drive.Versions {
	if os.Geteuid() != 0 {
		return drive.Versions{}
	}
	return drive.Versions{PropagatedMount: "/data"}
}

func open(paths drive.Paths, executor *plugintest.Executor) (*managed, error) {
	if expression := os.Getenv(skipSync); expression != "" {
		durable.Default.SkipSync = skipper(paths.Root, regexp.MustCompile(expression))
	}
	pm, err := plugin.NewManager(plugin.ManagerConfig{
		Root: paths.Root, ExecRoot: paths.ExecRoot, RegistryService: plainEndpoints{},
		CreateExecutor: func(pm *plugin.Manager) (plugin.Executor, error) {
			executor.HandleExits(func(id string) { _ = pm.HandleExitEvent(id) })
			return executor, nil
		},
	})
	if err != nil {
		return nil, err
	}
	registry, err := versions().Serve()
	if err != nil {
		pm.Shutdown()
		return nil, err
	}
	return &managed{Manager: pm, registry: registry, root: paths.Root}, nil
}

func skipper(root string, skipped *regexp.Regexp) func(path string) bool {
	return func(path string) bool {
		below, err := filepath.Rel(root, path)
		return err == nil && skipped.MatchString(filepath.ToSlash(below))
	}
}

func check(paths drive.Paths, manager *plugin.Manager, executor *plugintest.Executor) []string {
	err := plugintest.CheckRoot(paths.Root, plugintest.RootCheck{
		Manager: manager, ExecRoot: paths.ExecRoot, Executor: executor, Collected: true,
	})
	var found *plugintest.RootError
	switch {
	case errors.As(err, &found):
		return found.Problems
	case err != nil:
		return []string{err.Error()}
	}
	return nil
}
