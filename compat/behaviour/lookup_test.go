// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"slices"
	"strings"

	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"

	"github.com/dovetailhq/plugin/compat/internal/subject"
	"github.com/dovetailhq/plugin/plugintest"
)

var lookupScenarios = []Scenario{
	{"look up", func(r *Run) {
		id := r.installed("dovetail/one:latest", volume)
		r.create("create with a registry", "example.com:5000/dovetail/one:v1", plugintest.Config(volume))
		for _, ref := range []string{
			"dovetail/one", "dovetail/one:latest", "docker.io/dovetail/one", "docker.io/dovetail/one:latest", "index.docker.io/dovetail/one",
			"example.com:5000/dovetail/one:v1", "example.com:5000/dovetail/one", "dovetail/one:v1", "DOVETAIL/one",
			"dovetail/one@sha256:" + strings.Repeat("a", 64), "dovetail/one:latest@sha256:" + strings.Repeat("a", 64),
		} {
			r.lookup("name "+ref, ref)
		}
		r.Hide(id[:32], "HALF-ID")
		r.Hide(id[32:], "OTHER-HALF")
		r.Hide(strings.ToUpper(id), "CAPITALS")
		r.lookup("id", id)
		r.lookup("half an id", id[:32])
		r.lookup("beginning of an id", id[:12])
		r.lookup("id in capitals", strings.ToUpper(id))
		r.lookup("end of an id", id[32:])
		r.lookup("id and more", id+"0")
	}},
	{"many of one prefix", func(r *Run) {
		r.Start()
		// 17 IDs can't have 17 different first digits.
		for i := range 17 {
			name := "dovetail/" + string(rune('a'+i))
			r.Given(func() error { return r.build(name, plugintest.Config(volume)) })
		}
		seen := map[byte]bool{}
		for id := range r.Store().Names() {
			if seen[id[0]] {
				prefix := id[:1]
				r.Hide(`"`+prefix+`"`, "PREFIX")
				r.inspect("inspect", prefix)
				r.get("get", prefix, "VolumeDriver", plugingetter.Lookup)
				r.disable("disable", prefix, true)
				r.remove("remove", prefix, true)
				return
			}
			seen[id[0]] = true
		}
	}},
	{"get by capability", func(r *Run) {
		r.installed("dovetail/one:latest", volume)
		r.get("disabled", "dovetail/one", "VolumeDriver", plugingetter.Lookup)
		r.get("disabled, of another capability", "dovetail/one", "NetworkDriver", plugingetter.Lookup)
		r.enable("enable", "dovetail/one")
		r.get("enabled", "dovetail/one", "VolumeDriver", plugingetter.Lookup)
		r.get("in other letters", "dovetail/one", "VOLUMEDRIVER", plugingetter.Lookup)
		r.get("of another capability", "dovetail/one", "NetworkDriver", plugingetter.Lookup)
		r.get("acquired for another capability", "dovetail/one", "NetworkDriver", plugingetter.Acquire)
		r.get("release too often", "dovetail/one", "VolumeDriver", plugingetter.Release)
		r.See("managed by capability", "result", namesOf(r.Store().GetAllManagedPluginsByCap("VolumeDriver")))
		r.See("managed by capability in small letters", "result", namesOf(r.Store().GetAllManagedPluginsByCap("volumedriver")))
		r.See("managed by another capability", "result", namesOf(r.Store().GetAllManagedPluginsByCap("NetworkDriver")))
		r.Do("all by capability", func() error {
			all, err := r.Store().GetAllByCap("VolumeDriver")
			r.See("all by capability", "result", namesOf(all))
			return err
		})
		r.disable("disable", "dovetail/one", false)
		r.See("disabled by capability", "result", namesOf(r.Store().GetAllManagedPluginsByCap("VolumeDriver")))
	}},
	{"handle", func(r *Run) {
		r.Start()
		var handled []string
		r.Store().Handle("HandledDriver", func(name string, client *plugins.Client) {
			handled = append(handled, name)
		})
		r.create("create", "dovetail/one:latest", plugintest.Config("docker.handleddriver/1.0"))
		r.create("create another version", "dovetail/two:latest", plugintest.Config("docker.handleddriver/2.0"))
		r.create("create another prefix", "dovetail/three:latest", plugintest.Config("other.handleddriver/1.0"))
		for _, name := range []string{"dovetail/one", "dovetail/two", "dovetail/three"} {
			r.enable("enable "+name, name)
		}
		r.disable("disable", "dovetail/one", false)
		r.enable("enable again", "dovetail/one")
		r.See("handled", "result", handled)
	}},
	{"handle of a plugin", func(r *Run) {
		id := r.installed("dovetail/one:latest", volume, "other.thing/2.1")
		r.enable("enable", "dovetail/one")
		p, err := r.Plugin(id)
		r.See("get", "class", classOf(err))
		r.See("handle", "result", map[string]any{
			"name": p.Name(), "id": p.GetID(), "socket": p.GetSocket(), "types": p.GetTypes(), "v1": p.IsV1(), "enabled": p.IsEnabled(),
			"protocol": p.Protocol(), "timeout": p.Timeout(), "network": p.Addr().Network(), "address": p.Addr().String(), "references": p.GetRefCount(),
		})
		for _, path := range []string{"", "/", "/data/file", "data/file", "/a/../../../etc", "/mnt/x"} {
			r.See("scoped path "+path, "result", p.ScopedPath(path))
		}
		p.Acquire()
		r.See("acquired", "references", p.GetRefCount())
		p.Release()
		p.Release()
		r.See("released too often", "references", p.GetRefCount())
	}},
}

// get is a step whose result is the plugin's name and references afterwards.
func (r *Run) get(step, name, capability string, mode int) {
	r.Do(step, func() error {
		found, err := r.Store().Get(name, capability, mode)
		if err == nil {
			r.See(step, "result", found.Name())
		}
		return err
	})
	if p, err := r.Plugin(name); err == nil {
		r.See(step, "references", p.GetRefCount())
	}
}

// lookup is a step that looks a reference up in every possible way.
func (r *Run) lookup(step, ref string) {
	r.inspect(step, ref)
	for way, find := range map[string]func(string) (subject.Plugin, error){"manager": r.Plugin, "store": r.Store().Lookup} {
		r.Do(step+", "+way, func() error {
			p, err := find(ref)
			if err == nil {
				r.See(step+", "+way, "result", p.Name())
			}
			return err
		})
	}
}

func namesOf(found []plugingetter.CompatPlugin) []string {
	var names []string
	for _, p := range found {
		names = append(names, p.Name())
	}
	return sorted(names)
}

func sorted(names []string) []string {
	return slices.Sorted(slices.Values(names))
}
