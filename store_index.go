package plugin

import (
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	v2 "github.com/dovetailhq/plugin/v2"
)

func (ps *Store) hasLocked(id string) bool {
	_, sound := ps.plugins[id]
	_, broken := ps.broken[id]
	return sound || broken
}

func (ps *Store) addLocked(id string, p *v2.Plugin) {
	p.SetSpecOptModifier(func(s *specs.Spec) { ps.applySpecOpts(p, s) })
	ps.plugins[id] = p
	ps.insertIDLocked(id)
	ps.indexLocked(p)
}

func (ps *Store) insertIDLocked(id string) {
	i, _ := slices.BinarySearch(ps.ids, id)
	ps.ids = slices.Insert(ps.ids, i, id)
}

func (ps *Store) removeIDLocked(id string) {
	if i, found := slices.BinarySearch(ps.ids, id); found {
		ps.ids = slices.Delete(ps.ids, i, i+1)
	}
}

// indexLocked makes p found by everything but its id.
func (ps *Store) indexLocked(p *v2.Plugin) {
	if _, taken := ps.names[p.Name()]; !taken {
		ps.names[p.Name()] = p
	}
	for _, capability := range capabilitiesOf(p) {
		addTo(ps.capabilities, capability, p)
	}
	for _, dgst := range digestsOf(p) {
		addTo(ps.digests, dgst, p)
	}
}

func (ps *Store) unindexLocked(p *v2.Plugin) {
	if ps.names[p.Name()] == p {
		delete(ps.names, p.Name())
	}
	for _, capability := range capabilitiesOf(p) {
		removeFrom(ps.capabilities, capability, p)
	}
	for _, dgst := range digestsOf(p) {
		removeFrom(ps.digests, dgst, p)
	}
}

// addTo puts p into the list of key, which is ordered by id. The list is a new
// one: readers may hold the old one.
func addTo[K comparable](index map[K][]*v2.Plugin, key K, p *v2.Plugin) {
	list := index[key]
	i, _ := slices.BinarySearchFunc(list, p.GetID(), func(have *v2.Plugin, id string) int {
		return strings.Compare(have.GetID(), id)
	})
	index[key] = slices.Insert(slices.Clip(list), i, p)
}

// removeFrom takes p out of the list of key, and the key with its last plugin.
// The list is a new one: readers may hold the old one.
func removeFrom[K comparable](index map[K][]*v2.Plugin, key K, p *v2.Plugin) {
	list := index[key]
	i := slices.Index(list, p)
	switch {
	case i < 0:
	case len(list) == 1:
		delete(index, key)
	default:
		index[key] = slices.Concat(list[:i], list[i+1:])
	}
}

// capabilitiesOf returns each of docker's capabilities that p has, once.
func capabilitiesOf(p *v2.Plugin) []string {
	var found []string
	for _, typ := range p.GetTypes() {
		if typ.Prefix == "docker" && !slices.Contains(found, typ.Capability) {
			found = append(found, typ.Capability)
		}
	}
	return found
}

// digestsOf returns what a plugin may be called by: its manifest, and the
// digest that it was pulled by, which may be that of an index.
func digestsOf(p *v2.Plugin) []digest.Digest {
	data := p.Clone()
	var all []digest.Digest
	if data.Manifest != "" {
		all = append(all, data.Manifest)
	}
	origin, err := reference.ParseNormalizedNamed(data.PluginObj.PluginReference)
	if err != nil {
		return all
	}
	if canonical, ok := origin.(reference.Canonical); ok && canonical.Digest() != data.Manifest {
		all = append(all, canonical.Digest())
	}
	return all
}
