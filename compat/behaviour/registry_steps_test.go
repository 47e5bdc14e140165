// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/pkg/jsonmessage"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest"
)

// demandingConfig asks for one of each thing that must be granted.
func demandingConfig() types.PluginConfig {
	c := plugintest.Config(volume)
	c.Network.Type = "host"
	c.IpcHost, c.PidHost = true, true
	c.Mounts = []types.PluginMount{
		{Name: "etc", Source: ptr("/etc"), Destination: "/host/etc", Type: "bind", Options: []string{"rbind", "ro"}},
	}
	c.Linux.Devices = []types.PluginDevice{{Name: "null", Path: ptr("/dev/null")}}
	c.Linux.AllowAllDevices = true
	c.Linux.Capabilities = []string{"CAP_SYS_ADMIN", "CAP_MKNOD"}
	return c
}

// layer returns a file system as registries store it, and the digest of its tar
// archive.
func layer(content string) (packed []byte, diffID string) {
	plain := archive(entry{name: "./", mode: 0o755}, entry{name: "plugin", content: "#!/bin/true\n" + content, mode: 0o755})
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	_, _ = w.Write(plain) // in memory
	_ = w.Close()
	return buffer.Bytes(), digest.FromBytes(plain).String()
}

// publish puts a plugin into the registry. It shares no layers.
func (r *Run) publish(name, tag string, config types.PluginConfig) ocispec.Descriptor {
	packed, diffID := layer(name + tag)
	config.Documentation = tag
	config.Rootfs = &types.PluginConfigRootfs{Type: "layers", DiffIds: []string{diffID}}
	encoded, err := json.Marshal(config)
	assert.NilError(r.t, err)
	return r.Registry.PutPlugin(name, tag, encoded, packed)
}

func (r *Run) ref(text string) reference.Named {
	ref, err := reference.ParseNormalizedNamed(r.Host + "/" + text)
	assert.NilError(r.t, err)
	return ref
}

// privileges is a step whose result is the privileges that a plugin asks for.
func (r *Run) privileges(step, ref string) (wanted types.PluginPrivileges) {
	r.Do(step, func() (err error) {
		wanted, err = r.Privileges(context.Background(), r.ref(ref), nil, nil)
		return err
	})
	if wanted != nil {
		r.See(step, "result", wanted)
	}
	return wanted
}

// transfer is a step that writes progress and talks to the registry.
func (r *Run) transfer(step string, verb func(io.Writer) error) {
	r.Registry.Requests()
	var progress output
	r.Do(step, func() error { return verb(&progress) })
	r.See(step, "progress", strings.Join(messages(progress.String()), "\n"))
}

// none is the grants that most plugins of the scenarios need.
var none = types.PluginPrivileges{{Name: "network", Value: []string{"none"}}}

// pull is a step. It installs the plugin under name, or under its reference if
// name is empty.
func (r *Run) pull(step, ref, name string, grants types.PluginPrivileges) {
	if name == "" {
		name = r.Host + "/" + ref
	}
	r.transfer(step, func(out io.Writer) error {
		return r.Pull(context.Background(), r.ref(ref), name, nil, grants, out, "", nil)
	})
}

func (r *Run) push(step, name string) {
	r.transfer(step, func(out io.Writer) error { return r.Push(context.Background(), name, nil, nil, out) })
}

// output is a buffer for concurrent writers, because docker's manager writes
// concurrently.
type output struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.String()
}

// messages returns the texts of progress and the number of blobs in it. The
// steps of each blob differ from run to run.
func messages(progress string) []string {
	var said []string
	blobs := map[string]bool{}
	decoder := json.NewDecoder(strings.NewReader(progress))
	for {
		var message jsonmessage.JSONMessage
		if err := decoder.Decode(&message); err != nil {
			return append(said, fmt.Sprintf("blobs: %d", len(blobs)))
		}
		switch {
		case isBlob.MatchString(message.ID):
			blobs[message.ID] = true
		case message.Aux != nil:
			said = append(said, "aux "+string(*message.Aux))
		default:
			said = append(said, strings.TrimSpace(message.ID+": "+message.Status))
		}
	}
}

var isBlob = regexp.MustCompile("^[0-9a-f]{12}$")

// asked notes the requests that the registry got in the last step.
func (r *Run) asked(step string) { r.See(step, "requests", strings.Join(r.requests(), "\n")) }

// requests returns the requests since the last call, each once and sorted: both
// managers fetch and send concurrently.
func (r *Run) requests() []string {
	var asked []string
	for _, request := range r.Registry.Requests() {
		path := request.Path
		if i := strings.Index(path, "/blobs/uploads/"); i >= 0 {
			path = path[:i] + "/blobs/uploads/"
		}
		asked = append(asked, request.Method+" "+path)
	}
	slices.Sort(asked)
	return slices.Compact(asked)
}

// distinct returns each list of scopes once, in the order of requests.
func distinct(scopes [][]string) (once [][]string) {
	for _, asked := range scopes {
		if !slices.ContainsFunc(once, func(before []string) bool { return slices.Equal(before, asked) }) {
			once = append(once, asked)
		}
	}
	return once
}

// pushed notes a manifest and the config that it names.
func (r *Run) pushed(step, name, tag string) {
	mediaType, data := r.Registry.Manifest(name, tag)
	var manifest ocispec.Manifest
	if data == nil {
		r.See(step, "media type", "there is none")
		return
	}
	assert.NilError(r.t, json.Unmarshal(data, &manifest))
	r.See(step, "media type", mediaType)
	manifest.Config.Size = 0 // a config has a layer's digest in it
	for i := range manifest.Layers {
		manifest.Layers[i].Size = 0
	}
	r.See(step, "manifest", manifest)
}

// names returns the names of all plugins.
func (r *Run) names() []string {
	var names []string
	for _, name := range r.Store().Names() {
		names = append(names, name)
	}
	return sorted(names)
}
