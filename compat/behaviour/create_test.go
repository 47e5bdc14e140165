// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"strings"

	"github.com/docker/docker/api/types"

	"github.com/dovetailhq/plugin/plugintest"
)

var createScenarios = []Scenario{
	{"create", func(r *Run) {
		r.Start()
		r.create("first", "dovetail/one", plugintest.Config(volume))
		r.inspect("inspect", "dovetail/one")
		r.create("same name", "dovetail/one:latest", plugintest.Config(volume))
		r.create("with a tag", "dovetail/two:v1", plugintest.Config(volume))
		r.create("with docker's registry", "docker.io/dovetail/three", plugintest.Config(volume))
		r.create("with another registry", "example.com:5000/dovetail/four:v1", plugintest.Config(volume))
		r.create("of no interface", "dovetail/five", plugintest.Config())
	}},
	{"create the same twice", func(r *Run) {
		r.Start()
		create := func(name string, files map[string]string) func() error {
			return func() error {
				return r.CreateFromContext(r.t.Context(), plugintest.BuildContext(plugintest.Config(volume), files), &types.PluginCreateOptions{RepoName: name})
			}
		}
		r.Do("first", create("dovetail/one", map[string]string{"plugin": "x"}))
		r.Do("same config", create("dovetail/two", map[string]string{"plugin": "y"}))
		r.Do("same content", create("dovetail/three", map[string]string{"plugin": "x"}))
		r.remove("remove", "dovetail/one", false)
		r.Do("first again", create("dovetail/one", map[string]string{"plugin": "x"}))
	}},
	{"create with bad names", func(r *Run) {
		r.Start()
		for _, name := range []string{
			"", "Upper/case", "a b", ":v1", "name:", "-name",
			"dovetail/one@sha256:" + strings.Repeat("a", 64),
			"dovetail/one:v1@sha256:" + strings.Repeat("a", 64),
			strings.Repeat("a", 64),
		} {
			r.create("name "+name, name, plugintest.Config(volume))
		}
		r.Do("no options", func() error {
			return r.CreateFromContext(context.Background(), plugintest.BuildContext(plugintest.Config(), nil), nil)
		})
	}},
	{"create from bad contexts", func(r *Run) {
		r.Start()
		for i, bad := range badContexts {
			name := "dovetail/bad" + string(rune('a'+i))
			r.Do(bad.name, func() error {
				return r.CreateFromContext(r.t.Context(), io.NopCloser(bytes.NewReader(bad.context)), &types.PluginCreateOptions{RepoName: name})
			})
		}
		r.create("a good one after a bad one", "dovetail/bada", plugintest.Config(volume))
		cancelled, cancel := context.WithCancel(context.Background())
		cancel()
		r.Do("cancelled", func() error {
			return r.CreateFromContext(cancelled, plugintest.BuildContext(plugintest.Config(), nil), &types.PluginCreateOptions{RepoName: "dovetail/cancelled"})
		})
	}},
	{"create from unusual contexts", func(r *Run) {
		r.Start()
		for i, context := range unusualContexts {
			name := "dovetail/unusual" + string(rune('a'+i))
			r.Do(context.name, func() error {
				return r.CreateFromContext(r.t.Context(), io.NopCloser(bytes.NewReader(context.context)), &types.PluginCreateOptions{RepoName: name})
			})
		}
	}},
}

// goodConfig returns a config that no other step uses.
func goodConfig(documentation string) string {
	return `{"documentation":"` + documentation + `","entrypoint":["/plugin"],"interface":{"types":["docker.volumedriver/1.0"],"socket":"plugin.sock"},"network":{"type":"none"}}`
}

// plain is a config file, and empty and full are root file systems.
func plain(config string) entry { return entry{name: "config.json", content: config, mode: 0o644} }

var empty = entry{name: "rootfs/", mode: 0o755}

func full(content string) entry { return entry{name: "rootfs/plugin", content: content, mode: 0o755} }

type namedContext struct {
	name    string
	context []byte
}

var badContexts = []namedContext{
	{"empty", nil},
	{"not an archive", []byte("this is not an archive")},
	{"no files", archive()},
	{"no config", archive(empty, full("no config"))},
	{"no rootfs", archive(plain(goodConfig("no rootfs")))},
	{"config is not JSON", archive(plain("nonsense"), empty, full("no JSON"))},
	{"config is empty", archive(plain(""), empty, full("empty config"))},
	{"config is another type", archive(plain(`{"entrypoint":5}`), empty, full("another type"))},
	{"config is too big", archive(plain(goodConfig("too big")+strings.Repeat(" ", 1<<20)), empty, full("too big"))},
	{"interface without a version", archive(plain(`{"entrypoint":["/plugin"],"interface":{"types":["docker.volumedriver"],"socket":"p.sock"}}`), empty, full("no version"))},
	{"interface without a prefix", archive(plain(`{"entrypoint":["/plugin"],"interface":{"types":["volumedriver/1.0"],"socket":"p.sock"}}`), empty, full("no prefix"))},
	{"truncated", archive(plain(goodConfig("truncated")), empty, full(strings.Repeat("x", 4096)))[:3000]},
	{"socket elsewhere", archive(plain(`{"entrypoint":["/plugin"],"interface":{"types":["docker.volumedriver/1.0"],"socket":"../p.sock"}}`), empty, full("socket"))},
	{"the host's devices as a mount", archive(plain(`{"entrypoint":["/plugin"],"mounts":[{"type":"devtmpfs","source":"d","destination":"/d"}]}`), empty, full("devices"))},
	{"config of nothing", archive(plain("{}"), empty, full("nothing"))},
	{"control characters in a source", archive(plain(`{"entrypoint":["/plugin"],"mounts":[{"type":"bind","source":"/\u001b[2K","destination":"/mnt","options":["rbind"]}]}`), empty, full("escape"))},
	{"device without a path", archive(plain(`{"entrypoint":["/plugin"],"linux":{"devices":[{"name":"none"}]}}`), empty, full("device"))},
	{"propagated mount elsewhere", archive(plain(`{"entrypoint":["/plugin"],"propagatedMount":"../../dovetail-elsewhere"}`), empty, full("mount"))},
}

var unusualContexts = []namedContext{
	{"leading dot", archive(entry{name: "./", mode: 0o755}, entry{name: "./config.json", content: goodConfig("dot"), mode: 0o644}, entry{name: "./rootfs/", mode: 0o755}, entry{name: "./rootfs/plugin", content: "dot", mode: 0o755})},
	{"rootfs first", archive(empty, full("first"), plain(goodConfig("first")))},
	{"rootfs without an entry of its own", archive(full("no entry"), plain(goodConfig("no entry")))},
	{"empty rootfs", archive(plain(goodConfig("empty rootfs")), empty)},
	{"other files", archive(entry{name: "README", content: "x", mode: 0o644}, plain(goodConfig("others")), empty, full("others"))},
	{"config with unknown members", archive(plain(`{"unknown":1,"entrypoint":["/plugin"]}`), empty, full("unknown"))},
	{"config twice", archive(plain(goodConfig("once")), plain(goodConfig("twice")), empty, full("twice"))},
}

// entry is a file of an archive, or a directory if its name ends in a slash.
type entry struct {
	name, content string
	mode          int64
}

func archive(entries ...entry) []byte {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, e := range entries {
		typeflag := byte(tar.TypeReg)
		if strings.HasSuffix(e.name, "/") {
			typeflag = tar.TypeDir
		}
		_ = w.WriteHeader(&tar.Header{Name: e.name, Typeflag: typeflag, Mode: e.mode, Size: int64(len(e.content))})
		_, _ = io.WriteString(w, e.content)
	}
	_ = w.Close()
	return buffer.Bytes()
}
