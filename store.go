package plugin

import (
	"maps"
	"slices"
	"sync"

	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"
	"github.com/opencontainers/go-digest"

	v2 "github.com/dovetailhq/plugin/v2"
)

// Store is the inventory of plugins: an index in memory, by id, name and
// capability. The rest of a daemon finds plugins through it: it implements
// [plugingetter.PluginGetter].
//
// Make one with [NewStore]. All methods may be called concurrently; Get and
// GetAllByCap also on a nil Store, which has no plugins but the legacy ones.
// Callbacks run with no lock held, so they may call the Store again.
type Store struct {
	// RWMutex is embedded because docker's Store embeds it. It guards the
	// fields below; callers leave it alone.
	sync.RWMutex
	plugins      map[string]*v2.Plugin          // by id
	broken       map[string]error               // by id of plugins without a readable record: why
	presences    map[string]presence            // by id, of plugins that a manager attends
	names        map[string]*v2.Plugin          // by familiar name with tag
	ids          []string                       // of plugins and broken, sorted, for prefixes
	capabilities map[string][]*v2.Plugin        // by capability of docker's prefix; each list by id
	digests      map[digest.Digest][]*v2.Plugin // by manifest, and by the digest of the pull
	reserved     map[string]struct{}            // names of installs in progress
	handlers     map[string][]func(string, *plugins.Client)
	specOpts     map[string][]SpecOpt
	hardening    Hardening // of all plugins, before specOpts
	legacy       legacy
}

var _ plugingetter.PluginGetter = (*Store)(nil)

// NewStore makes an empty Store.
func NewStore() *Store {
	ps := &Store{
		handlers:  make(map[string][]func(string, *plugins.Client)),
		specOpts:  make(map[string][]SpecOpt),
		reserved:  make(map[string]struct{}),
		presences: make(map[string]presence),
	}
	ps.resetLocked()
	return ps
}

func (ps *Store) resetLocked() {
	ps.plugins = make(map[string]*v2.Plugin)
	ps.broken = make(map[string]error)
	ps.names = make(map[string]*v2.Plugin)
	ps.ids = nil
	ps.capabilities = make(map[string][]*v2.Plugin)
	ps.digests = make(map[digest.Digest][]*v2.Plugin)
}

// GetAll returns copies of all plugins by id. Changing one changes nothing
// here; acquiring and releasing one counts for the plugin itself.
func (ps *Store) GetAll() map[string]*v2.Plugin {
	all := make(map[string]*v2.Plugin)
	for _, p := range ps.all() {
		all[p.GetID()] = p.Clone()
	}
	return all
}

// all returns the plugins themselves, ordered by id.
func (ps *Store) all() []*v2.Plugin {
	ps.RLock()
	defer ps.RUnlock()
	all := make([]*v2.Plugin, 0, len(ps.plugins))
	for _, id := range ps.ids {
		if p, ok := ps.plugins[id]; ok {
			all = append(all, p)
		}
	}
	return all
}

// SetAll replaces the inventory, as a daemon does when it starts. Where two
// plugins have one name, the one of the lower id has it.
func (ps *Store) SetAll(all map[string]*v2.Plugin) { ps.fill(all, nil) }

// fill replaces the inventory by the plugins that were read and the ids of
// those that could not be.
func (ps *Store) fill(all map[string]*v2.Plugin, broken map[string]error) {
	ps.Lock()
	defer ps.Unlock()
	ps.resetLocked()
	for _, id := range slices.Sorted(maps.Keys(all)) {
		ps.addLocked(id, all[id])
	}
	for id, reason := range broken {
		ps.broken[id] = reason
		ps.insertIDLocked(id)
	}
	maps.DeleteFunc(ps.presences, func(id string, _ presence) bool { return !ps.hasLocked(id) })
}

// attend makes the Store ask a presence whether the plugin of an id serves.
func (ps *Store) attend(id string, by presence) {
	ps.Lock()
	defer ps.Unlock()
	ps.presences[id] = by
}

// Add puts a plugin into the inventory. Its id and its name must be free, see
// [ExistsError].
func (ps *Store) Add(p *v2.Plugin) error {
	ps.Lock()
	defer ps.Unlock()
	if ps.hasLocked(p.GetID()) {
		return &ExistsError{Name: p.GetID()}
	}
	if _, taken := ps.names[p.Name()]; taken {
		return &ExistsError{Name: p.Name()}
	}
	ps.addLocked(p.GetID(), p)
	return nil
}

// Remove takes a plugin out of the inventory. A plugin that is not there is
// ignored.
func (ps *Store) Remove(p *v2.Plugin) {
	ps.Lock()
	defer ps.Unlock()
	id := p.GetID()
	if !ps.hasLocked(id) {
		return
	}
	ps.removeIDLocked(id)
	delete(ps.broken, id)
	delete(ps.presences, id)
	if known, ok := ps.plugins[id]; ok {
		delete(ps.plugins, id)
		ps.unindexLocked(known)
	}
}

// replace makes p the version that next describes, under its old id and name.
func (ps *Store) replace(p, next *v2.Plugin) {
	ps.Lock()
	defer ps.Unlock()
	ps.unindexLocked(p)
	p.ReplaceData(next)
	ps.indexLocked(p)
}

// reserve keeps name for an install until release is called. It fails with
// [ExistsError] when a plugin or another install has it.
func (ps *Store) reserve(name string) (release func(), err error) {
	ps.Lock()
	defer ps.Unlock()
	_, taken := ps.names[name]
	_, installing := ps.reserved[name]
	if taken || installing {
		return nil, &ExistsError{Name: name}
	}
	ps.reserved[name] = struct{}{}
	return func() {
		ps.Lock()
		defer ps.Unlock()
		delete(ps.reserved, name)
	}, nil
}

// SetState publishes whether a plugin is enabled. It writes nothing to disk.
func (ps *Store) SetState(p *v2.Plugin, state bool) { p.SetEnabled(state) }
