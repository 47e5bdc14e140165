// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/pkg/plugingetter"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/executor/runc"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest"
)

// Without root the Examples are skipped: they install plugins, and files of
// plugins belong to other users.
func TestMain(m *testing.M) {
	flag.Parse()
	if skip := flag.Lookup("test.skip").Value; os.Geteuid() != 0 {
		_ = skip.Set(strings.TrimPrefix(skip.String()+"|^Example", "|"))
		if err := testenv.Note("Examples", "installing plugins needs root"); err != nil {
			log.Fatal(err)
		}
	}
	os.Exit(m.Run())
}

// A daemon makes one manager. README.md and the package's documentation quote
// this function.
func ExampleNewManager() {
	store := plugin.NewStore()
	manager, err := plugin.NewManager(plugin.ManagerConfig{
		Store:    store,
		Root:     "/var/lib/daemon/plugins",
		ExecRoot: "/run/daemon/plugins",
		CreateExecutor: func(m *plugin.Manager) (plugin.Executor, error) {
			return runc.New("/run/daemon/plugin-executor", m) // docker's executor is executor/containerd
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Shutdown()

	driver, err := store.Get("dovetail/example", "VolumeDriver", plugingetter.Acquire)
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println(driver.Name())
}

// example is a manager with one volume plugin, example/volume, and a fake
// executor. The other examples use it, so that they run anywhere.
type example struct {
	*plugin.Manager
	store    *plugin.Store
	executor *plugintest.Executor
	root     string
}

// newExample makes an example. change, if not nil, changes its configuration.
func newExample(behaviour plugintest.Behaviour, change func(config *plugin.ManagerConfig)) *example {
	root, err := os.MkdirTemp("", "")
	check(err)
	e := &example{store: plugin.NewStore(), executor: &plugintest.Executor{Behaviour: behaviour}, root: root}
	config := plugin.ManagerConfig{
		Store:          e.store,
		Root:           filepath.Join(root, "plugins"),
		ExecRoot:       filepath.Join(root, "run"),
		CreateExecutor: e.executor.Creator(),
	}
	if change != nil {
		change(&config)
	}
	e.Manager, err = plugin.NewManager(config)
	check(err)
	volume := plugintest.Config("docker.volumedriver/1.0")
	volume.Env = []types.PluginEnv{{Name: "PASSWORD", Settable: []string{"value"}}}
	check(e.CreateFromContext(context.Background(), plugintest.BuildContext(volume, nil), &types.PluginCreateOptions{RepoName: "example/volume"}))
	return e
}

func (e *example) enable() error {
	return e.Enable("example/volume", &backend.PluginEnableConfig{})
}

func (e *example) end() {
	e.Shutdown()
	e.executor.KillAll()
	check(os.RemoveAll(e.root))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Acquire counts a reference, which prevents the plugin from being disabled
// until Release drops it.
func ExampleStore_Get() {
	e := newExample(plugintest.Behaviour{}, nil)
	defer e.end()
	check(e.enable())

	driver, err := e.store.Get("example/volume", "VolumeDriver", plugingetter.Acquire)
	check(err)
	fmt.Println("driver:", driver.Name())
	fmt.Println(e.Disable("example/volume", &backend.PluginDisableConfig{}))
	_, err = e.store.Get("example/volume", "VolumeDriver", plugingetter.Release)
	check(err)
	fmt.Println(e.Disable("example/volume", &backend.PluginDisableConfig{}))
	// Output:
	// driver: example/volume:latest
	// plugin example/volume:latest is in use
	// <nil>
}

// Each filter is an event of the wanted kind. A filter with an ID matches that
// plugin only.
func ExampleManager_SubscribeEvents() {
	e := newExample(plugintest.Behaviour{}, nil)
	defer e.end()
	volume, err := e.Inspect("example/volume")
	check(err)

	events, cancel := e.SubscribeEvents(10,
		plugin.EventEnable{Plugin: types.Plugin{ID: volume.ID}},
		plugin.EventDisable{})
	defer cancel()
	check(e.enable())
	check(e.Disable("example/volume", &backend.PluginDisableConfig{}))

	for range 2 {
		switch event := (<-events).(type) {
		case plugin.EventEnable:
			fmt.Println("enabled", event.Plugin.Name)
		case plugin.EventDisable:
			fmt.Println("disabled", event.Plugin.Name)
		}
	}
	// Output:
	// enabled example/volume:latest
	// disabled example/volume:latest
}

// With Follow the loop waits for more lines. A break, or the end of the context,
// ends it.
func ExampleManager_Logs() {
	e := newExample(plugintest.Behaviour{EndsAtOnce: &plugintest.Ending{Code: 1, Stdout: "no database\n"}}, nil)
	defer e.end()
	fmt.Println("started:", e.enable() == nil)

	lines, err := e.Logs(context.Background(), "example/volume", plugin.LogOptions{Follow: true, Tail: 100})
	check(err)
	for line, err := range lines {
		check(err)
		if line.Stream != "manager" {
			fmt.Println(line.Stream+":", line.Text)
			break
		}
	}
	// Output:
	// started: false
	// stdout: no database
}

// errors.As finds the kind of an error and its details.
func ExampleStartError() {
	e := newExample(plugintest.Behaviour{EndsAtOnce: &plugintest.Ending{Code: 3, Stdout: "no database\n"}}, nil)
	defer e.end()

	var failed *plugin.StartError
	if errors.As(e.enable(), &failed) {
		fmt.Println("phase:", failed.Phase)
		fmt.Println("exit code:", failed.ExitCode)
		fmt.Println("output:", strings.Join(failed.Output, "\n"))
	}
	// Output:
	// phase: start
	// exit code: 3
	// output: no database
}

// ManagerConfig.Hardening restricts all plugins, and WithHardening those of one
// capability.
func ExampleWithHardening() {
	e := newExample(plugintest.Behaviour{}, func(config *plugin.ManagerConfig) {
		config.Hardening = plugin.Hardening{NoNewPrivileges: true}
		config.Store.RegisterRuntimeOpt("volumedriver", plugin.WithHardening(plugin.Hardening{MemoryBytes: 64 << 20}))
	})
	defer e.end()
	check(e.enable())

	spec := e.executor.Specs(e.executor.Running()[0])[0]
	fmt.Println("no new privileges:", spec.Process.NoNewPrivileges)
	fmt.Println("bytes of memory:", *spec.Linux.Resources.Memory.Limit)
	// Output:
	// no new privileges: true
	// bytes of memory: 67108864
}

// Redact masks settings that clients of the API should not read.
func ExampleManagerConfig_redact() {
	e := newExample(plugintest.Behaviour{}, func(config *plugin.ManagerConfig) {
		config.Redact = func(answer *types.Plugin) {
			for i, entry := range answer.Settings.Env {
				if name, _, _ := strings.Cut(entry, "="); strings.Contains(name, "PASSWORD") {
					answer.Settings.Env[i] = name + "=***"
				}
			}
		}
	})
	defer e.end()
	check(e.Set("example/volume", []string{"PASSWORD=secret"}))

	volume, err := e.Inspect("example/volume")
	check(err)
	fmt.Println(volume.Settings.Env)
	// Output:
	// [PASSWORD=***]
}

// A plugin over a limit is not installed. The error names the field to raise.
func ExampleLimits() {
	e := newExample(plugintest.Behaviour{}, func(config *plugin.ManagerConfig) { config.Limits.FileBytes = 1 << 10 })
	defer e.end()

	files := map[string]string{"plugin": strings.Repeat("x", 2<<10)}
	large := plugintest.BuildContext(plugintest.Config("docker.volumedriver/1.0"), files)
	err := e.CreateFromContext(context.Background(), large, &types.PluginCreateOptions{RepoName: "example/large"})
	var limit *plugin.LimitError
	if errors.As(err, &limit) {
		fmt.Println(limit.Limit, limit.Max)
	}
	// Output:
	// FileBytes 1024
}

// Inspect returns the desired state of a plugin, and Status its actual state.
func ExampleManager_Status() {
	e := newExample(plugintest.Behaviour{}, nil)
	defer e.end()
	check(e.enable())

	status, err := e.Status("example/volume")
	check(err)
	fmt.Println(status.Name, "is", status.State)
	// Output:
	// example/volume:latest is running
}
