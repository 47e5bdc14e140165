// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/docker/docker/api/types"
	registrytypes "github.com/docker/docker/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/registry"
)

var registryScenarios = []Scenario{
	{"pull", func(r *Run) {
		r.Start()
		r.publish("dovetail/one", "v1", demandingConfig())
		wanted := r.privileges("privileges", "dovetail/one:v1")
		r.pull("pull without grants", "dovetail/one:v1", "", nil)
		r.pull("pull with too few", "dovetail/one:v1", "", wanted[1:])
		r.pull("pull with others", "dovetail/one:v1", "", append(slices.Clone(wanted[1:]), types.PluginPrivilege{Name: "network", Value: []string{"bridge"}}))
		r.pull("pull with too many", "dovetail/one:v1", "", append(slices.Clone(wanted), types.PluginPrivilege{Name: "more", Value: []string{"true"}}))
		r.pull("pull", "dovetail/one:v1", "", wanted)
		r.inspect("inspect", r.Host+"/dovetail/one:v1")
		r.collect()
		r.tree("pulled")
		r.pull("pull again", "dovetail/one:v1", "", wanted)
		r.pull("pull under another name", "dovetail/one:v1", "another/name", wanted)
		r.inspect("inspect what has another name", "another/name")
		r.enable("enable", r.Host+"/dovetail/one:v1")
	}},
	{"pull with permuted grants", func(r *Run) {
		r.Start()
		r.publish("dovetail/one", "v1", demandingConfig())
		wanted := r.privileges("privileges", "dovetail/one:v1")
		slices.Reverse(wanted)
		r.pull("pull", "dovetail/one:v1", "", wanted)
	}},
	{"pull by other references", func(r *Run) {
		r.Start()
		r.publish("dovetail/one", "latest", plugintest.Config(volume))
		tagged := r.publish("dovetail/two", "v1", plugintest.Config(volume))
		r.pull("no tag", "dovetail/one", "no/tag", none)
		r.inspect("inspect no tag", "no/tag")
		r.asked("no tag")
		r.pull("digest", "dovetail/two@"+tagged.Digest.String(), "only/digest", none)
		r.asked("digest")
		r.inspect("inspect digest", "only/digest")
		r.pull("tag and digest", "dovetail/two:v1@"+tagged.Digest.String(), "tag/digest", none)
		r.pull("unknown tag", "dovetail/two:v2", "", none)
		r.pull("unknown repository", "dovetail/none:v1", "", none)
		r.pull("unknown digest", "dovetail/two@sha256:"+strings.Repeat("a", 64), "unknown/digest", none)
		r.privileges("privileges of an unknown tag", "dovetail/two:v2")
		r.pull("bad name", "dovetail/two:v1", "Bad Name", none)
		r.pull("name with a digest", "dovetail/two:v1", "name/digest@"+tagged.Digest.String(), none)
		r.pull("name without a tag", "dovetail/two:v1", "name/no-tag", none)
	}},
	{"pull without a name", func(r *Run) {
		r.Start()
		r.publish("dovetail/one", "v1", plugintest.Config(volume))
		r.transfer("pull", func(out io.Writer) error {
			return r.Pull(context.Background(), r.ref("dovetail/one:v1"), "", nil, none, out, "", nil)
		})
		r.See("pull", "names", r.names())
	}},
	{"pull what is not a plugin", func(r *Run) {
		r.Start()
		packed, diffID := layer("image")
		image := ocispec.Manifest{MediaType: registry.MediaTypeManifest}
		image.SchemaVersion = 2
		put := func(name, mediaType string, data []byte) ocispec.Descriptor {
			return ocispec.Descriptor{MediaType: mediaType, Digest: r.Registry.PutBlob(name, data), Size: int64(len(data))}
		}
		image.Config = put("dovetail/image", "application/vnd.docker.container.image.v1+json", []byte(`{}`))
		image.Layers = []ocispec.Descriptor{put("dovetail/image", registry.MediaTypeLayer, packed)}
		r.Registry.PutDocument("dovetail/image", "v1", image.MediaType, image)
		r.Registry.PutPlugin("dovetail/nonsense", "v1", []byte("nonsense"), packed)
		r.Registry.PutPlugin("dovetail/rootless", "v1", []byte(goodConfig("rootless")), packed)
		other, _ := layer("other")
		withRootfs := fmt.Sprintf(`{"interface":{"types":["docker.volumedriver/1.0"],"socket":"p.sock"},"rootfs":{"type":"layers","diff_ids":[%q]}}`, diffID)
		r.Registry.PutPlugin("dovetail/other", "v1", []byte(withRootfs), other)
		r.Registry.PutPlugin("dovetail/garbage", "v1", []byte(withRootfs), []byte("garbage"))
		r.Registry.PutPlugin("dovetail/empty", "v1", []byte(withRootfs))
		r.Registry.PutManifest("dovetail/damaged", "v1", registry.MediaTypeManifest, []byte("nonsense"))
		for _, name := range []string{"image", "nonsense", "rootless", "other", "garbage", "empty", "damaged"} {
			r.privileges(name+", privileges", "dovetail/"+name+":v1")
			r.pull(name, "dovetail/"+name+":v1", "", none)
		}
		r.See("left", "names", r.names())
	}},
	{"pull from a bad registry", func(r *Run) {
		r.Start()
		r.publish("dovetail/one", "v1", plugintest.Config(volume))
		r.Registry.Inject(http.MethodGet, "/blobs/", 0, registry.Refuse(http.StatusNotFound))
		r.pull("without blobs", "dovetail/one:v1", "", none)
		r.Registry.Heal()
		r.Registry.Inject(http.MethodGet, "/blobs/", 0, registry.Lie([]byte("another")))
		r.pull("that lies", "dovetail/one:v1", "", none)
		r.Registry.Heal()
		r.Registry.Inject("", "/v2/", 0, registry.Refuse(http.StatusForbidden))
		r.pull("that forbids", "dovetail/one:v1", "", none)
		r.Registry.Heal()
		r.pull("that is good again", "dovetail/one:v1", "", none)
	}},
	{"pull with an account", func(r *Run) {
		r.Registry.Auth = &registry.Auth{User: "user", Password: "password"}
		r.Start()
		r.publish("dovetail/one", "v1", plugintest.Config(volume))
		pull := func(step string, account *registrytypes.AuthConfig) {
			r.transfer(step, func(out io.Writer) error {
				return r.Pull(context.Background(), r.ref("dovetail/one:v1"), "with/account", account, none, out, "", nil)
			})
			r.See(step, "scopes", distinct(r.Registry.Auth.Scopes()))
		}
		pull("no account", nil)
		pull("wrong password", &registrytypes.AuthConfig{Username: "user", Password: "wrong"})
		pull("right password", &registrytypes.AuthConfig{Username: "user", Password: "password"})
	}},
	{"pull for swarm", func(r *Run) {
		r.Start()
		config := plugintest.Config(volume)
		config.Env = []types.PluginEnv{{Name: "A", Value: ptr("0"), Settable: []string{"value"}}, {Name: "B", Value: ptr("0")}}
		r.publish("dovetail/one", "v1", config)
		r.transfer("pull", func(out io.Writer) error {
			return r.Pull(context.Background(), r.ref("dovetail/one:v1"), "swarm/one", nil, none, out, "service", []string{"A=1", "C=2", "nonsense", "B=3"})
		})
		p, err := r.Inspect("swarm/one")
		assert.NilError(r.t, err)
		slices.Sort(p.Settings.Env) // docker lists them in any order
		r.See("pull", "settings", p.Settings)
	}},
	{"no registry service", func(r *Run) {
		r.Config.Registry = nil
		r.installed("dovetail/one:latest", volume)
		r.privileges("privileges", "dovetail/one:v1")
		r.pull("pull", "dovetail/one:v1", "", none)
		r.push("push", "dovetail/one:latest")
	}},
	{"push", func(r *Run) {
		r.Start()
		name := r.Host + "/dovetail/one:v1"
		r.Given(func() error { return r.build(name, demandingConfig()) })
		r.push("push", name)
		r.asked("push")
		r.pushed("pushed", "dovetail/one", "v1")
		r.push("push again", name)
		r.asked("push again")
		r.enable("enable", name)
		r.push("push while enabled", name)
		r.Registry.Inject("", "/v2/", 0, registry.Refuse(http.StatusForbidden))
		r.push("push to a registry that forbids", name)
	}},
	{"push what was pulled", func(r *Run) {
		r.Start()
		r.publish("dovetail/one", "v1", plugintest.Config(volume))
		r.pull("pull", "dovetail/one:v1", r.Host+"/dovetail/copy:v2", none)
		r.push("push", r.Host+"/dovetail/copy:v2")
		r.pushed("pushed", "dovetail/copy", "v2")
		_, original := r.Registry.Manifest("dovetail/one", "v1")
		_, copied := r.Registry.Manifest("dovetail/copy", "v2")
		r.See("pushed", "is the original", bytes.Equal(original, copied))
	}},
}
