// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	dockererrdefs "github.com/docker/docker/errdefs"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// badInput is a plugin that every way of installing must refuse.
type badInput struct {
	name   string
	config []byte    // nil means a sound config
	layers [][]entry // the rootfs of the build context has the entries of all layers
	// packed, if set, makes a layer, or with the prefix rootfs/ a build context.
	packed func(t *testing.T, prefix string) []byte
	// published, if set, puts the plugin into the registry. No build context has
	// this fault.
	published func(r *fake.Registry)
	// grantable reports that the plugin is refused only for lack of grants.
	grantable bool

	want  any      // the target of errors.As
	says  []string // parts of the text: the thing and the fix
	limit string   // the limit that it exceeds; sets want and says
}

// entry is an entry of an archive.
type entry struct {
	tar.Header
	content string
}

func regular(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}, content}
}

// strict limits keep bad input small.
var strict = plugin.Limits{
	UnpackedBytes:    1 << 20,
	FileBytes:        256 << 10,
	Entries:          50,
	Layers:           4,
	CompressionRatio: 200,
	ManifestBytes:    4 << 10,
	ConfigBytes:      8 << 10,
}

// refusals is a world with a registry, and a plugin that must not change.
type refusals struct {
	*world
	registry *fake.Registry
	host     string
}

// granted are the privileges that the configs of these tests ask for.
var granted = types.PluginPrivileges{{Name: "network", Value: []string{"none"}}}

func newRefusals(t *testing.T) *refusals {
	t.Helper()
	w := newWorld(t)
	w.Config.RegistryService = testworld.PlainHTTP{}
	w.Config.Limits = strict
	r := &refusals{world: w, registry: fake.New()}
	r.host = r.registry.Start(t)
	w.start()
	assert.NilError(t, w.CreateConfig("victim", settable("old")))
	return r
}

// verbs returns the ways to install a plugin.
func (r *refusals) verbs(t *testing.T, bad badInput) map[string]func() error {
	verbs := map[string]func() error{
		"create": func() error {
			source := io.NopCloser(bytes.NewReader(bad.buildContext(t)))
			return r.CreateFromContext(t.Context(), source, &types.PluginCreateOptions{RepoName: "bad"})
		},
		"pull":    func() error { _, err := r.pull(r.host+"/group/bad", "bad", granted); return err },
		"upgrade": func() error { return r.upgrade(r.host+"/group/bad", "victim", granted) },
		"ask for grants": func() error {
			_, err := r.Privileges(context.Background(), testworld.Named(t, r.host+"/group/bad"), nil, nil)
			return err
		},
	}
	if bad.layers != nil || bad.packed != nil || bad.grantable {
		delete(verbs, "ask for grants") // it does not read layers
	}
	if bad.published != nil {
		delete(verbs, "create")
	}
	return verbs
}

func (bad badInput) configBytes(t *testing.T) []byte {
	t.Helper()
	if bad.config != nil {
		return bad.config
	}
	return encoded(t, plugintest.Config("docker.volumedriver/1.0"))
}

func encoded(t *testing.T, config types.PluginConfig) []byte {
	t.Helper()
	data, err := json.Marshal(config)
	assert.NilError(t, err)
	return data
}

func (bad badInput) buildContext(t *testing.T) []byte {
	t.Helper()
	if bad.packed != nil {
		return bad.packed(t, "rootfs/")
	}
	entries := []entry{regular("config.json", string(bad.configBytes(t))), {Header: tar.Header{Typeflag: tar.TypeDir, Name: "rootfs/", Mode: 0o755}}}
	for _, layer := range bad.layers {
		for _, e := range layer {
			e.Name = "rootfs/" + e.Name
			if e.Typeflag == tar.TypeLink {
				e.Linkname = "rootfs/" + e.Linkname
			}
			entries = append(entries, e)
		}
	}
	return packed(t, entries...)
}

// publish puts the plugin into the registry.
func (bad badInput) publish(t *testing.T, r *fake.Registry) {
	t.Helper()
	if bad.published != nil {
		bad.published(r)
		return
	}
	var layers [][]byte
	if bad.packed != nil {
		layers = append(layers, bad.packed(t, ""))
	}
	for _, layer := range bad.layers {
		layers = append(layers, packed(t, layer...))
	}
	r.PutPlugin("group/bad", "latest", bad.configBytes(t), layers...)
}

func packed(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, e := range entries {
		e.Format = tar.FormatPAX
		assert.NilError(t, w.WriteHeader(&e.Header), e.Name)
		_, err := io.WriteString(w, e.content)
		assert.NilError(t, err, e.Name)
	}
	assert.NilError(t, w.Close())
	return archive.Bytes()
}

// TestBadInputs: each verb refuses each input with an error of the right type, of
// class InvalidParameter, that names the thing. The input leaves nothing behind.
func TestBadInputs(t *testing.T) {
	r := newRefusals(t)
	before, state := r.Tree(), r.state()
	for _, bad := range badInputs() {
		bad.publish(t, r.registry)
		for verb, do := range r.verbs(t, bad) {
			t.Run(bad.name+"/"+verb, func(t *testing.T) {
				err := do()
				bad.checkError(t, err)
				r.Check("refused: %v", err)
				assert.DeepEqual(t, r.Tree(), before)
				assert.Equal(t, r.state(), state)
			})
		}
	}
	r.restart()
	assert.DeepEqual(t, r.Tree(), before)
	assert.Equal(t, r.state(), state)
	r.MustEnable("victim")
}

func (bad badInput) checkError(t *testing.T, err error) {
	t.Helper()
	if bad.limit != "" {
		var exceeded *plugin.LimitError
		assert.Assert(t, errors.As(err, &exceeded), "%v", err)
		assert.Equal(t, exceeded.Limit, bad.limit)
		assert.Check(t, is.ErrorContains(err, fmt.Sprint(exceeded.Max)))
		assert.Check(t, is.ErrorContains(err, "raise ManagerConfig.Limits."+bad.limit))
	} else {
		assert.Assert(t, errors.As(err, bad.want), "%v", err)
	}
	assert.Check(t, dockererrdefs.IsInvalidParameter(err) && errdefs.IsInvalidArgument(err), "class of %v", err)
	for _, text := range bad.says {
		assert.Check(t, is.ErrorContains(err, text))
	}
}
