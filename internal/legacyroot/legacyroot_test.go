// SPDX-License-Identifier: Apache-2.0

package legacyroot

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

func TestErrorsArePlain(t *testing.T) {
	plaintexttest.Check(t, &EntryError{}, &InventoryError{}, &sizeError{})
}

// sshfs is the config of the plugin in docker's document, testdata/seed.
func sshfs() types.PluginConfig {
	return types.PluginConfig{
		Description:   "sshFS plugin for Docker",
		Documentation: "https://docs.docker.com/engine/extend/plugins/",
		Interface: types.PluginConfigInterface{
			Socket: "sshfs.sock",
			Types:  []types.PluginInterfaceType{{Prefix: "docker", Capability: "volumedriver", Version: "1.0"}},
		},
		Entrypoint: []string{"/go/bin/docker-volume-sshfs"},
		Network:    types.PluginConfigNetwork{Type: "host"},
		Linux:      types.PluginConfigLinux{Capabilities: []string{"CAP_SYS_ADMIN"}},
	}
}

func noSettings() types.PluginSettings {
	return types.PluginSettings{Mounts: []types.PluginMount{}, Env: []string{}, Args: []string{}, Devices: []types.PluginDevice{}}
}

func TestExampleOfDockersDocument(t *testing.T) {
	want := Plugin{ID: "cd851ce43a403", Name: "vieux/sshfs:latest", Enabled: true, Config: sshfs(), Settings: noSettings()}
	entries, err := ReadInventory(filepath.Join("testdata", "seed"))
	assert.NilError(t, err)
	assert.DeepEqual(t, entries, []Entry{{Plugin: want}})

	p, err := ReadDirectory(filepath.Join("testdata", "seed", "cd851ce43a403"))
	assert.NilError(t, err)
	want.Name, want.Enabled = "", false
	assert.DeepEqual(t, p, want)
}

// root is a directory of plugins in the making.
type root struct {
	t   *testing.T
	dir string
}

func newRoot(t *testing.T) root { return root{t, t.TempDir()} }

func (r root) write(name, content string) root {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	assert.NilError(r.t, os.MkdirAll(filepath.Dir(path), 0o700))
	assert.NilError(r.t, os.WriteFile(path, []byte(content), 0o600))
	return r
}

// plugin makes the directory of a plugin with a rootfs.
func (r root) plugin(id string) root { return r.write(id+"/rootfs/file", "x") }

// list writes an inventory of one entry.
func (r root) list(id, plugin string) root {
	return r.write(InventoryName, `{"`+id+`": {"plugin": `+plugin+`}}`)
}

// only returns the only entry.
func (r root) only() Entry {
	r.t.Helper()
	entries, err := ReadInventory(r.dir)
	assert.NilError(r.t, err)
	assert.Equal(r.t, len(entries), 1)
	return entries[0]
}

// full has each member of a manifest.
const full = `{
	"manifestVersion": "v0",
	"description": "d",
	"documentation": "https://example.com",
	"interface": {"types": ["docker.volumedriver/1.0"], "socket": "p.sock"},
	"entrypoint": ["/bin/p", "--serve"],
	"workdir": "/work",
	"user": {"uid": 12, "gid": 34},
	"network": {"type": "host"},
	"capabilities": ["CAP_SYS_ADMIN"],
	"mounts": [{"name": "state", "description": "m", "settable": ["source"], "source": "/var/lib/p", "destination": "/state", "type": "bind", "options": ["rbind"]}],
	"devices": [{"name": "fuse", "path": "/dev/fuse"}],
	"env": [{"name": "DEBUG", "value": "0", "settable": ["value"]}, {"name": "TOKEN"}],
	"args": {"name": "args", "value": ["--fast"]}
}`

func pointer(s string) *string { return &s }

func fullConfig() types.PluginConfig {
	return types.PluginConfig{
		Description:   "d",
		Documentation: "https://example.com",
		Interface: types.PluginConfigInterface{
			Socket: "p.sock",
			Types:  []types.PluginInterfaceType{{Prefix: "docker", Capability: "volumedriver", Version: "1.0"}},
		},
		Entrypoint: []string{"/bin/p", "--serve"},
		WorkDir:    "/work",
		User:       types.PluginConfigUser{UID: 12, GID: 34},
		Network:    types.PluginConfigNetwork{Type: "host"},
		Linux: types.PluginConfigLinux{
			Capabilities: []string{"CAP_SYS_ADMIN"},
			Devices:      []types.PluginDevice{{Name: "fuse", Path: pointer("/dev/fuse")}},
		},
		Mounts: []types.PluginMount{{
			Name: "state", Description: "m", Settable: []string{"source"}, Source: pointer("/var/lib/p"),
			Destination: "/state", Type: "bind", Options: []string{"rbind"},
		}},
		Env:  []types.PluginEnv{{Name: "DEBUG", Value: pointer("0"), Settable: []string{"value"}}, {Name: "TOKEN"}},
		Args: types.PluginConfigArgs{Name: "args", Value: []string{"--fast"}},
	}
}

// inCapitals returns a document with the spelling of docker 1.12's inventory.
func inCapitals(t *testing.T, document string) string {
	t.Helper()
	var value any
	assert.NilError(t, json.Unmarshal([]byte(document), &value))
	var capitals func(value any) any
	capitals = func(value any) any {
		switch value := value.(type) {
		case map[string]any:
			all := map[string]any{}
			for key, member := range value {
				all[strings.ToUpper(key[:1])+key[1:]] = capitals(member)
			}
			return all
		case []any:
			for i := range value {
				value[i] = capitals(value[i])
			}
		}
		return value
	}
	written, err := json.Marshal(capitals(value))
	assert.NilError(t, err)
	return string(written)
}

func TestManifestInEitherSpelling(t *testing.T) {
	for name, document := range map[string]string{"lower case": full, "capitals": inCapitals(t, full)} {
		t.Run(name, func(t *testing.T) {
			config, err := parseManifest([]byte(document))
			assert.NilError(t, err)
			assert.DeepEqual(t, config, fullConfig())
		})
	}
}

func TestTypesAsObjectsOrStrings(t *testing.T) {
	for _, types := range []string{
		`["docker.volumedriver/1.0"]`,
		`[{"prefix": "docker", "capability": "volumedriver", "version": "1.0"}]`,
		`[{"Prefix": "docker", "Capability": "volumedriver", "Version": "1.0"}]`,
		"[\"docker.volumedriver\\/1.0\"]",
	} {
		config, err := parseManifest([]byte(`{"interface": {"types": ` + types + `}}`))
		assert.NilError(t, err, types)
		assert.DeepEqual(t, config.Interface.Types, sshfs().Interface.Types)
	}
	config, err := parseManifest([]byte(`{"interface": {"types": ["plain", "a.b.c", "x/1"]}}`))
	assert.NilError(t, err)
	assert.DeepEqual(t, config.Interface.Types, []types.PluginInterfaceType{
		{Capability: "plain"}, {Prefix: "a.b", Capability: "c"}, {Capability: "x", Version: "1"},
	})
}

// Docker 1.12 ignored these members, so no user has granted them.
func TestLaterPrivilegesAreNotRead(t *testing.T) {
	config, err := parseManifest([]byte(`{"pidhost": true, "ipchost": true, "propagatedmount": "/data",
		"linux": {"allowAllDevices": true, "capabilities": ["CAP_NET_ADMIN"]}}`))
	assert.NilError(t, err)
	assert.DeepEqual(t, config, types.PluginConfig{})
}

func TestSettings(t *testing.T) {
	unchanged := types.PluginSettings{
		Mounts:  fullConfig().Mounts,
		Env:     []string{"DEBUG=0"},
		Args:    []string{"--fast"},
		Devices: fullConfig().Linux.Devices,
	}
	changed := types.PluginSettings{
		Mounts:  []types.PluginMount{{Name: "state", Source: pointer("/other"), Destination: "/state", Type: "bind"}},
		Env:     []string{"DEBUG=1", "TOKEN=x"},
		Args:    []string{"--slow"},
		Devices: []types.PluginDevice{{Name: "fuse", Path: pointer("/dev/null")}},
	}
	written, err := json.Marshal(changed)
	assert.NilError(t, err)
	for _, tt := range []struct {
		name     string
		document string
		want     types.PluginSettings
	}{
		{"of docker's example", `{"Devices": null, "Args": null, "Env": [], "Mounts": []}`, unchanged},
		{"none", `null`, unchanged},
		{"empty", `{}`, unchanged},
		{"changed", string(written), changed},
		{"in lower case", `{"env": ["DEBUG=2"]}`, types.PluginSettings{Mounts: unchanged.Mounts, Env: []string{"DEBUG=2"}, Args: unchanged.Args, Devices: unchanged.Devices}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			settings, err := parseSettings([]byte(tt.document), fullConfig())
			assert.NilError(t, err)
			assert.DeepEqual(t, settings, tt.want)
		})
	}
	settings, err := parseSettings(nil, fullConfig())
	assert.NilError(t, err)
	assert.DeepEqual(t, settings, unchanged)
}

// Docker 1.12 starts a plugin as the inventory describes it, and reads the files at
// an install only.
func TestInventoryPrecedesFiles(t *testing.T) {
	r := newRoot(t).plugin("a").
		write("a/manifest.json", `{"description": "file"}`).
		write("a/plugin-config.json", `{"Env": ["FROM=file"]}`)
	for _, tt := range []struct {
		name, plugin, description, env string
	}{
		{"both in the inventory", `{"Name": "n", "Manifest": {"Description": "inventory"}, "Config": {"Env": ["FROM=inventory"]}}`, "inventory", "FROM=inventory"},
		{"settings in a file", `{"Name": "n", "Manifest": {"Description": "inventory"}}`, "inventory", "FROM=file"},
		{"neither in the inventory", `{"Name": "n", "Manifest": null, "Config": null}`, "file", "FROM=file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := r.list("a", tt.plugin).only()
			assert.NilError(t, e.Err)
			assert.Equal(t, e.Config.Description, tt.description)
			assert.DeepEqual(t, e.Settings.Env, []string{tt.env})
		})
	}
}

func TestEntries(t *testing.T) {
	r := newRoot(t).plugin("b").plugin("a").plugin("c").write(InventoryName, `{
		"b": {"plugin": {"Id": "b", "Name": "one", "Active": true, "Manifest": {}}},
		"a": {"Plugin": {"name": "host:5000/two", "tag": "v1", "manifest": {}}},
		"c": {"plugin": 7},
		"d": {"plugin": {"Name": "four", "Manifest": {}}}
	}`)
	entries, err := ReadInventory(r.dir)
	assert.NilError(t, err)
	assert.Equal(t, len(entries), 4)
	for i, want := range []struct {
		id, name string
		enabled  bool
		err      string
	}{
		{"a", "host:5000/two:v1", false, ""},
		{"b", "one", true, ""},
		{"c", "", false, `plugin "c" of docker 1.12: plugins.json: plugin: a JSON number`},
		{"d", "four", false, `plugin "d" of docker 1.12: `},
	} {
		e := entries[i]
		assert.Equal(t, e.ID, want.id)
		assert.Equal(t, e.Name, want.name)
		assert.Equal(t, e.Enabled, want.enabled)
		if want.err == "" {
			assert.NilError(t, e.Err)
			continue
		}
		assert.Check(t, is.ErrorContains(e.Err, want.err))
	}
}

func TestBrokenEntries(t *testing.T) {
	long := strings.Repeat("x", maxNameBytes+1)
	large := strings.Repeat(" ", maxDocumentBytes+1)
	many := `["` + strings.Repeat(`", "`, maxSettings) + `"]`
	for _, tt := range []struct {
		name    string
		id      string
		plugin  string
		prepare func(r root)
		want    string
	}{
		{"no plugin", "a", `null`, nil, `no member "plugin"`},
		{"no name", "a", `{"Tag": "latest"}`, nil, "it has no name"},
		{"another Id", "a", `{"Id": "b", "Name": "n"}`, nil, `its Id is "b"`},
		{"no ID", "", `{"Name": "n"}`, nil, "not the name of a directory"},
		{"parent", "..", `{"Name": "n"}`, nil, "not the name of a directory"},
		{"itself", ".", `{"Name": "n"}`, nil, "not the name of a directory"},
		{"path", "a/../a", `{"Name": "n"}`, nil, "not the name of a directory"},
		{"absolute", "/etc", `{"Name": "n"}`, nil, "not the name of a directory"},
		{"long ID", long, `{"Name": "n"}`, nil, "not the name of a directory"},
		{"control characters", "a\\u001b[0m", `{"Name": "n"}`, nil, "control or invisible"},
		{"no directory", "b", `{"Name": "n", "Manifest": {}}`, nil, "no such file"},
		{"file", "b", `{"Name": "n", "Manifest": {}}`, func(r root) { r.write("b", "") }, "it is not a directory"},
		{"link", "b", `{"Name": "n", "Manifest": {}}`, func(r root) { r.link("a", "b") }, "it is not a directory"},
		{"link outside", "b", `{"Name": "n", "Manifest": {}}`, func(r root) { r.link("/", "b") }, "it is not a directory"},
		{"no rootfs", "b", `{"Name": "n", "Manifest": {}}`, func(r root) { r.write("b/manifest.json", "{}") }, "rootfs: "},
		{"rootfs is a link", "b", `{"Name": "n", "Manifest": {}}`, func(r root) { r.write("b/manifest.json", "{}").link("../a/rootfs", "b/rootfs") }, "rootfs: it is not a directory"},
		{"no manifest", "a", `{"Name": "n"}`, nil, "manifest.json: "},
		{"manifest is a directory", "a", `{"Name": "n"}`, func(r root) { r.write("a/manifest.json/file", "") }, "manifest.json: it is not a regular file"},
		{"manifest is a link", "a", `{"Name": "n"}`, func(r root) { r.link("/etc/passwd", "a/manifest.json") }, "manifest.json: it is not a regular file"},
		{"large manifest", "a", `{"Name": "n"}`, func(r root) { r.write("a/manifest.json", large) }, "manifest.json: it has more than 1048576 bytes"},
		{"large manifest in the inventory", "a", `{"Name": "n", "Manifest": {"x": "` + large + `"}}`, nil, "manifest.json: it has more than 1048576 bytes"},
		{"large settings", "a", `{"Name": "n", "Manifest": {}, "Config": {"x": "` + large + `"}}`, nil, "plugin-config.json: it has more than 1048576 bytes"},
		{"empty manifest", "a", `{"Name": "n"}`, func(r root) { r.write("a/manifest.json", "") }, "manifest.json: unexpected end"},
		{"two documents", "a", `{"Name": "n"}`, func(r root) { r.write("a/manifest.json", "{} {}") }, "manifest.json: invalid character"},
		{"wrong type", "a", `{"Name": "n", "Manifest": {"Entrypoint": "/bin/sh"}}`, nil, "Entrypoint: a JSON string is not of type []string"},
		{"wrong interface type", "a", `{"Name": "n", "Manifest": {"Interface": {"Types": [7]}}}`, nil, "manifest.json: "},
		{"later version", "a", `{"Name": "n", "Manifest": {"ManifestVersion": "v1"}}`, nil, `its version is "v1": want v0`},
		{"dangerous config", "a", `{"Name": "n", "Manifest": {"Description": "\u001b[2J"}}`, nil, "manifest.json: "},
		{"wrong settings", "a", `{"Name": "n", "Manifest": {}, "Config": {"Env": "X=1"}}`, nil, "plugin-config.json: Env: a JSON string"},
		{"many settings", "a", `{"Name": "n", "Manifest": {}, "Config": {"Env": ` + many + `}}`, nil, "a list has 4097 entries"},
		{"settings are a link", "a", `{"Name": "n", "Manifest": {}}`, func(r root) { r.link("/etc/passwd", "a/plugin-config.json") }, "plugin-config.json: it is not a regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoot(t).plugin("a").list(tt.id, tt.plugin)
			if tt.prepare != nil {
				tt.prepare(r)
			}
			err := r.only().Err
			assert.Check(t, is.ErrorContains(err, tt.want))
			assert.ErrorType(t, err, &EntryError{})
			assert.Check(t, errdefs.IsInvalidArgument(err))
		})
	}
}

func (r root) link(target, name string) root {
	r.t.Helper()
	assert.NilError(r.t, os.MkdirAll(filepath.Dir(filepath.Join(r.dir, name)), 0o700))
	assert.NilError(r.t, os.Symlink(target, filepath.Join(r.dir, name)))
	return r
}

func TestEntryThatOccursTwice(t *testing.T) {
	r := newRoot(t).plugin("a").write(InventoryName, `{"a": {"plugin": {"Name": "n", "Manifest": {}}}, "a": {}}`)
	assert.Check(t, is.ErrorContains(r.only().Err, "occurs more than once"))
}

func TestBrokenInventories(t *testing.T) {
	for _, tt := range []struct{ name, content, want string }{
		{"empty", "", "not valid JSON"},
		{"part", `{"a": {`, "not valid JSON"},
		{"more", `{} x`, "not valid JSON"},
		{"list", `[]`, "not a JSON object"},
		{"large", strings.Repeat(" ", maxInventoryBytes+1), "more than 16777216 bytes"},
		{"many", `{` + strings.Repeat(`"a":0,`, maxEntries) + `"b":0}`, "more than 4096 entries"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadInventory(newRoot(t).write(InventoryName, tt.content).dir)
			assert.Check(t, is.ErrorContains(err, tt.want))
			assert.ErrorType(t, err, &InventoryError{})
			assert.Check(t, errdefs.IsInvalidArgument(err))
		})
	}
	_, err := ReadInventory(newRoot(t).write(InventoryName+"/file", "").dir)
	assert.ErrorType(t, err, &InventoryError{})
}

func TestNoInventory(t *testing.T) {
	_, err := ReadInventory(t.TempDir())
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = ReadInventory(filepath.Join(t.TempDir(), "absent"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
	entries, err := ReadInventory(newRoot(t).write(InventoryName, "{}").dir)
	assert.NilError(t, err)
	assert.Equal(t, len(entries), 0)
}

func TestDirectoryWithoutInventory(t *testing.T) {
	r := newRoot(t).plugin("manifest").write("manifest/manifest.json", full).write("manifest/plugin-config.json", `{"Env": ["DEBUG=7"]}`)
	p, err := ReadDirectory(filepath.Join(r.dir, "manifest"))
	assert.NilError(t, err)
	assert.DeepEqual(t, p.Config, fullConfig())
	assert.DeepEqual(t, p.Settings.Env, []string{"DEBUG=7"})

	r.plugin("config").write("config/config.json", `{"description": "d", "pidhost": true, "env": [{"name": "A", "value": "b"}]}`).
		write("config/plugin-config.json", "not read")
	p, err = ReadDirectory(filepath.Join(r.dir, "config"))
	assert.NilError(t, err)
	assert.Check(t, p.Config.PidHost)
	assert.DeepEqual(t, p.Settings.Env, []string{"A=b"})

	for _, tt := range []struct {
		name    string
		prepare func(dir string)
		want    string
	}{
		{"both", func(dir string) { r.plugin(dir).write(dir+"/manifest.json", "{}").write(dir+"/config.json", "{}") }, "manifest.json and config.json"},
		{"neither", func(dir string) { r.plugin(dir) }, "neither manifest.json nor config.json"},
		{"no rootfs", func(dir string) { r.write(dir+"/config.json", "{}") }, "rootfs: "},
		{"absent", func(string) {}, "no such file"},
		{"broken config", func(dir string) { r.plugin(dir).write(dir+"/config.json", "[]") }, "config.json: "},
		{"dangerous config", func(dir string) { r.plugin(dir).write(dir+"/config.json", `{"description": "\u001b[2J"}`) }, "config.json: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.prepare("x " + tt.name)
			_, err := ReadDirectory(filepath.Join(r.dir, "x "+tt.name))
			assert.Check(t, is.ErrorContains(err, tt.want))
			assert.ErrorType(t, err, &EntryError{})
		})
	}
}

// An error of the host is not a broken entry: another attempt can succeed.
func TestErrorsOfTheHost(t *testing.T) {
	err := brokenUnlessHost("a", "manifest.json", fs.ErrPermission)
	var entry *EntryError
	assert.Check(t, !errors.As(err, &entry))
	assert.ErrorIs(t, err, fs.ErrPermission)
}
