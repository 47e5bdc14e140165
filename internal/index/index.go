// SPDX-License-Identifier: Apache-2.0

// Package index finds plugins by ID, by a prefix of the ID, by name, digest and
// capability.
package index

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/ids"
	v2 "github.com/dovetailhq/plugin/v2"
)

// ErrNotFound is returned for a reference that no plugin has.
var ErrNotFound = errors.New("plugin not found")

// ErrAmbiguous is returned for a reference that several plugins share.
var ErrAmbiguous = errors.New("multiple plugins found")

// Index finds plugins in memory. Broken plugins have an ID only. Make one with
// [New]. Its owner locks it: calls that change it exclude all others.
type Index struct {
	plugins      map[string]*v2.Plugin          // by ID
	broken       map[string]error               // by ID of plugins without a readable record: why
	names        map[string]*v2.Plugin          // by familiar name with tag
	ordered      []*v2.Plugin                   // by name and ID
	ids          []string                       // of plugins and broken, sorted, for prefixes
	capabilities map[string][]*v2.Plugin        // by capability of docker's prefix; each list by ID
	digests      map[digest.Digest][]*v2.Plugin // by manifest, and by the digest of the pull
}

// New returns an empty Index.
func New() *Index {
	return &Index{
		plugins:      make(map[string]*v2.Plugin),
		broken:       make(map[string]error),
		names:        make(map[string]*v2.Plugin),
		capabilities: make(map[string][]*v2.Plugin),
		digests:      make(map[digest.Digest][]*v2.Plugin),
	}
}

// Has reports whether there is a plugin of an ID, sound or broken.
func (x *Index) Has(id string) bool {
	_, sound := x.plugins[id]
	_, broken := x.broken[id]
	return sound || broken
}

// Add adds a plugin. Its ID is free. Of several plugins with one name, a look-up by
// name finds the first that was added.
func (x *Index) Add(p *v2.Plugin) {
	id := p.GetID()
	x.plugins[id] = p
	x.insertID(id)
	i, _ := slices.BinarySearchFunc(x.ordered, p, Compare)
	x.ordered = slices.Insert(x.ordered, i, p)
	x.insert(p)
}

// AddBroken adds the ID of a plugin without a readable record.
func (x *Index) AddBroken(id string, reason error) {
	x.broken[id] = reason
	x.insertID(id)
}

// Remove removes the plugin of an ID, sound or broken. An unknown ID is ignored.
func (x *Index) Remove(id string) {
	if i, found := slices.BinarySearch(x.ids, id); found {
		x.ids = slices.Delete(x.ids, i, i+1)
	}
	delete(x.broken, id)
	if p, ok := x.plugins[id]; ok {
		delete(x.plugins, id)
		x.ordered = slices.DeleteFunc(x.ordered, func(other *v2.Plugin) bool { return other == p })
		x.remove(p)
	}
}

// Replace makes p the version that next describes, under its old ID and name.
func (x *Index) Replace(p, next *v2.Plugin) {
	x.remove(p)
	p.ReplaceData(next)
	x.insert(p)
}

// All returns the plugins that are not broken, in the order of [Compare].
func (x *Index) All() []*v2.Plugin { return slices.Clone(x.ordered) }

// Compare orders plugins by name, and by ID those of one name.
func Compare(a, b *v2.Plugin) int {
	return cmp.Or(strings.Compare(a.Name(), b.Name()), strings.Compare(a.GetID(), b.GetID()))
}

// Get returns the plugin of an ID, or why it is broken. Both are nil if there is none.
func (x *Index) Get(id string) (_ *v2.Plugin, broken error) { return x.plugins[id], x.broken[id] }

// IsNamed reports whether a plugin has a name.
func (x *Index) IsNamed(name string) bool { return x.names[name] != nil }

// WithCapability returns the plugins of one of docker's capabilities, ordered by ID.
// Later changes of the index don't change the list.
func (x *Index) WithCapability(capability string) []*v2.Plugin { return x.capabilities[capability] }

func (x *Index) insertID(id string) {
	i, _ := slices.BinarySearch(x.ids, id)
	x.ids = slices.Insert(x.ids, i, id)
}

// insert indexes p by name, capabilities and digests.
func (x *Index) insert(p *v2.Plugin) {
	if _, taken := x.names[p.Name()]; !taken {
		x.names[p.Name()] = p
	}
	for _, capability := range Capabilities(p) {
		addTo(x.capabilities, capability, p)
	}
	for _, dgst := range digestsOf(p) {
		addTo(x.digests, dgst, p)
	}
}

func (x *Index) remove(p *v2.Plugin) {
	if x.names[p.Name()] == p {
		delete(x.names, p.Name())
	}
	for _, capability := range Capabilities(p) {
		removeFrom(x.capabilities, capability, p)
	}
	for _, dgst := range digestsOf(p) {
		removeFrom(x.digests, dgst, p)
	}
}

// addTo puts p into the list of key, which is ordered by ID. The list is a new
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

// Capabilities returns each of docker's capabilities that p has, once.
func Capabilities(p *v2.Plugin) []string {
	var found []string
	for _, typ := range p.GetTypes() {
		if typ.Prefix == "docker" && !slices.Contains(found, typ.Capability) {
			found = append(found, typ.Capability)
		}
	}
	return found
}

// digestsOf returns the digests that may refer to a plugin: that of its manifest,
// and the digest of its pull, which may be that of an index.
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

// Resolve returns the ID of the plugin that a reference names: by ID, by name, where
// the default registry and tag may be omitted, with a digest, by the ID that the
// plugin had in docker 1.12, or by a prefix of the ID. Broken plugins are included, so that a reference is ambiguous for all verbs or
// for none. The error is [ErrNotFound] or [ErrAmbiguous].
func (x *Index) Resolve(refOrID string) (id string, err error) {
	if id, ok := x.exact(refOrID); ok {
		return id, nil
	}
	named, err := reference.ParseNormalizedNamed(refOrID)
	if err != nil {
		return x.byOtherID(refOrID)
	}
	if canonical, ok := named.(reference.Canonical); ok {
		return x.byDigest(canonical)
	}
	if id, ok := x.exact(reference.FamiliarString(reference.TagNameOnly(named))); ok {
		return id, nil
	}
	return x.byOtherID(refOrID)
}

func (x *Index) exact(idOrName string) (id string, ok bool) {
	if x.Has(idOrName) {
		return idOrName, true
	}
	if p, ok := x.names[idOrName]; ok {
		return p.GetID(), true
	}
	return "", false
}

// byDigest returns the ID of the only plugin of a repository, and of a tag if the
// reference has one, that has a digest.
func (x *Index) byDigest(wanted reference.Canonical) (id string, err error) {
	isNamed := func(name string) bool { return strings.HasPrefix(name, reference.FamiliarName(wanted)+":") }
	if tagged, ok := wanted.(reference.Tagged); ok {
		isNamed = func(name string) bool { return name == reference.FamiliarName(wanted)+":"+tagged.Tag() }
	}
	for _, p := range x.digests[wanted.Digest()] {
		if !isNamed(p.Name()) {
			continue
		}
		if id != "" {
			return "", ErrAmbiguous
		}
		id = p.GetID()
	}
	if id == "" {
		return "", ErrNotFound
	}
	return id, nil
}

func (x *Index) byOtherID(old string) (id string, err error) {
	if id := ids.FromLegacy(old); x.Has(id) {
		return id, nil
	}
	return x.byPrefix(old)
}

func (x *Index) byPrefix(prefix string) (id string, err error) {
	i, _ := slices.BinarySearch(x.ids, prefix)
	if prefix == "" || i == len(x.ids) || !strings.HasPrefix(x.ids[i], prefix) {
		return "", ErrNotFound
	}
	if i+1 < len(x.ids) && strings.HasPrefix(x.ids[i+1], prefix) {
		return "", ErrAmbiguous
	}
	return x.ids[i], nil
}
