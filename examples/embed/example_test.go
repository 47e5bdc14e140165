// SPDX-License-Identifier: Apache-2.0

//go:build linux

package embed_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/events"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
)

// A daemon makes one manager, gets drivers from the store, and shuts the
// manager down at its end. This example runs plugins with a fake executor, so
// that it works anywhere. A real daemon's CreateExecutor returns
// runc.New("/run/mydaemon/runtime", m), or containerd's executor.
func Example() {
	directory, err := os.MkdirTemp("", "")
	check(err)
	defer os.RemoveAll(directory)

	fake := &plugintest.Executor{}
	store := plugin.NewStore()
	manager, err := plugin.NewManager(plugin.ManagerConfig{
		Store:          store,
		Root:           filepath.Join(directory, "plugins"),
		ExecRoot:       filepath.Join(directory, "run"),
		CreateExecutor: fake.Creator(),
		LogPluginEvent: func(_, name string, action events.Action) { fmt.Println(action, name) },
	})
	check(err)
	defer manager.Shutdown()

	buildContext := plugintest.BuildContext(plugintest.Config("docker.volumedriver/1.0"), nil)
	check(manager.CreateFromContext(context.Background(), buildContext, &types.PluginCreateOptions{RepoName: "example/volume"}))
	check(manager.Enable("example/volume", &backend.PluginEnableConfig{}))

	drivers, err := store.GetAllByCap("volumedriver")
	check(err)
	for _, driver := range drivers {
		fmt.Println("driver", driver.Name())
	}
	check(manager.Disable("example/volume", &backend.PluginDisableConfig{}))

	// Output:
	// create example/volume:latest
	// enable example/volume:latest
	// driver example/volume:latest
	// disable example/volume:latest
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
