// SPDX-License-Identifier: Apache-2.0

package v2_test

import (
	"encoding/json"
	"fmt"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/pkg/plugingetter"

	v2 "github.com/dovetailhq/plugin/v2"
)

const config = `{
	"entrypoint": ["/bin/volumes"],
	"interface": {"socket": "volumes.sock", "types": ["docker.volumedriver/1.0"]},
	"propagatedMount": "/mnt/volumes",
	"env": [
		{"name": "DEBUG", "value": "0", "settable": ["value"]},
		{"name": "MODE", "value": "strict"}
	],
	"mounts": [
		{"name": "state", "source": "/var/lib/state", "destination": "/state", "type": "bind", "settable": ["source"]}
	],
	"args": {"name": "flags", "value": [], "settable": ["value"]}
}`

func newPlugin() *v2.Plugin {
	parsed, err := v2.ParseConfig([]byte(config))
	if err != nil {
		panic(err)
	}
	p := &v2.Plugin{
		PluginObj: types.Plugin{Name: "example/volumes:latest", Config: parsed},
		Rootfs:    "/var/lib/plugins/0123/rootfs",
	}
	p.InitEmptySettings()
	return p
}

func ExamplePlugin_Set() {
	p := newPlugin()
	if err := p.Set([]string{"DEBUG=1", "state.source=/srv/state", `flags=--name "two words"`}); err != nil {
		panic(err)
	}
	settings := p.Snapshot().Settings
	fmt.Println(settings.Env)
	fmt.Println(*settings.Mounts[0].Source)
	fmt.Printf("%q\n", settings.Args)
	// Output:
	// [DEBUG=1 MODE=strict]
	// /srv/state
	// ["--name" "two words"]
}

func ExamplePlugin_Set_refused() {
	p := newPlugin()
	fmt.Println(p.Set([]string{"DEBUG=1", "MODE=lax"}))
	fmt.Println(p.Snapshot().Settings.Env)
	// Output:
	// "MODE" is not settable (settable in this plugin: DEBUG, state.source, flags.value)
	// [DEBUG=0 MODE=strict]
}

func ExamplePlugin_Use() {
	p := newPlugin()
	fmt.Println(p.Use("VolumeDriver", plugingetter.Acquire))
	p.SetEnabled(true)
	fmt.Println(p.Use("NetworkDriver", plugingetter.Acquire))
	fmt.Println(p.Use("VolumeDriver", plugingetter.Acquire))
	fmt.Println(p.DisableUnlessInUse(false))
	// Output:
	// plugin example/volumes:latest found but disabled
	// plugin does not provide "networkdriver" capability
	// <nil>
	// plugin example/volumes:latest is in use
}

func ExamplePlugin_ScopedPath() {
	p := newPlugin()
	fmt.Println(p.ScopedPath("/mnt/volumes/one"))
	fmt.Println(p.ScopedPath("/etc/config"))
	fmt.Println(p.ScopedPath("/../../etc/passwd"))
	// Output:
	// /var/lib/plugins/0123/propagated-mount/one
	// /var/lib/plugins/0123/rootfs/etc/config
	// /var/lib/plugins/0123/rootfs/etc/passwd
}

func ExamplePlugin_Clone() {
	p := newPlugin()
	clone := p.Clone()
	clone.PluginObj.Config.Entrypoint[0] = "/bin/other"
	clone.Acquire()
	fmt.Println(p.PluginObj.Config.Entrypoint, p.GetRefCount())
	// Output: [/bin/volumes] 1
}

func ExamplePlugin_UnmarshalJSON() {
	const written = `{"plugin":{"Name":"example:latest"},"Rootfs":"/rootfs","FromAnotherVersion":true}`
	var p v2.Plugin
	if err := json.Unmarshal([]byte(written), &p); err != nil {
		panic(err)
	}
	data, err := json.Marshal(&p)
	if err != nil {
		panic(err)
	}
	var members map[string]any
	if err := json.Unmarshal(data, &members); err != nil {
		panic(err)
	}
	fmt.Println(p.Name(), members["FromAnotherVersion"])
	// Output: example:latest true
}
