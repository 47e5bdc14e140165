// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin/internal/index"
	"github.com/dovetailhq/plugin/internal/legacy"
	v2 "github.com/dovetailhq/plugin/v2"
)

// Store is the inventory of plugins: an index in memory, by ID, name and
// capability. The rest of a daemon finds plugins through it: it implements
// [plugingetter.PluginGetter].
//
// Make one with [NewStore]. All methods may be called concurrently. Get and
// GetAllByCap work on a nil Store also, which has the legacy plugins only.
// Callbacks run with no lock held, so they may call the Store again.
type Store struct {
	// RWMutex guards the fields below. It is embedded because docker's Store
	// embeds it; callers must not lock it.
	sync.RWMutex
	index     *index.Index
	presences map[string]presence // by ID, of plugins that a manager attends
	reserved  map[string]struct{} // names of installs in progress
	handlers  map[string][]func(string, *plugins.Client)
	specOpts  map[string][]SpecOpt
	hardening Hardening // of all plugins, before specOpts
	legacy    legacy.Finder
}

var _ plugingetter.PluginGetter = (*Store)(nil)

// NewStore makes an empty Store.
func NewStore() *Store {
	ps := &Store{
		index:     index.New(),
		handlers:  make(map[string][]func(string, *plugins.Client)),
		specOpts:  make(map[string][]SpecOpt),
		reserved:  make(map[string]struct{}),
		presences: make(map[string]presence),
	}
	return ps
}

// GetAll returns copies of all plugins by ID. Changes of a copy don't affect the
// Store, except that copies share the reference count of their plugin.
func (ps *Store) GetAll() map[string]*v2.Plugin {
	all := make(map[string]*v2.Plugin)
	for _, p := range ps.all() {
		all[p.GetID()] = p.Clone()
	}
	return all
}

// all returns the plugins themselves, ordered by name.
func (ps *Store) all() []*v2.Plugin {
	ps.RLock()
	defer ps.RUnlock()
	return ps.index.All()
}

// SetAll replaces the inventory. If two plugins have the same name, a look-up by
// that name finds the plugin with the lower ID.
func (ps *Store) SetAll(all map[string]*v2.Plugin) { ps.fill(all, nil) }

// fill replaces the inventory by the plugins that were read, and by the IDs of
// broken plugins.
func (ps *Store) fill(all map[string]*v2.Plugin, broken map[string]error) {
	ps.Lock()
	defer ps.Unlock()
	ps.index = index.New()
	for _, id := range slices.Sorted(maps.Keys(all)) {
		ps.addLocked(all[id])
	}
	for id, reason := range broken {
		ps.index.AddBroken(id, reason)
	}
	maps.DeleteFunc(ps.presences, func(id string, _ presence) bool { return !ps.index.Has(id) })
}

// addBroken adds the ID of a plugin without a readable record.
func (ps *Store) addBroken(id string, reason error) {
	ps.Lock()
	defer ps.Unlock()
	ps.index.AddBroken(id, reason)
}

// find returns the plugin of an ID, or why it is broken. Both are nil if there is none.
func (ps *Store) find(id string) (_ *v2.Plugin, broken error) {
	ps.RLock()
	defer ps.RUnlock()
	return ps.index.Get(id)
}

// GetV2Plugin returns the managed plugin, enabled or not, that a reference of the
// form described at [Manager] names. A name may also have a digest: that of the
// pull, or that of the manifest. Errors: [NotFoundError], [AmbiguousError],
// [BrokenError].
func (ps *Store) GetV2Plugin(refOrID string) (*v2.Plugin, error) {
	id, err := ps.resolve(refOrID)
	if err != nil {
		return nil, err
	}
	p, broken := ps.find(id)
	switch {
	case p != nil:
		return p, nil
	case broken != nil:
		return nil, &BrokenError{ID: id, Err: broken}
	}
	return nil, &NotFoundError{Ref: refOrID} // removed concurrently
}

// resolve returns the ID of the plugin that a reference names, sound or broken.
func (ps *Store) resolve(refOrID string) (id string, err error) {
	ps.RLock()
	defer ps.RUnlock()
	id, err = ps.index.Resolve(refOrID)
	switch {
	case errors.Is(err, index.ErrNotFound):
		err = &NotFoundError{Ref: refOrID}
	case errors.Is(err, index.ErrAmbiguous):
		err = &AmbiguousError{Ref: refOrID}
	}
	return id, err
}

// attend makes the Store ask a presence whether the plugin of an ID serves.
func (ps *Store) attend(id string, by presence) {
	ps.Lock()
	defer ps.Unlock()
	ps.presences[id] = by
}

// Add puts a plugin into the inventory. Its ID and its name must be free, see
// [ExistsError].
func (ps *Store) Add(p *v2.Plugin) error {
	ps.Lock()
	defer ps.Unlock()
	if ps.index.Has(p.GetID()) {
		return &ExistsError{Name: p.GetID()}
	}
	if ps.index.IsNamed(p.Name()) {
		return &ExistsError{Name: p.Name()}
	}
	ps.addLocked(p)
	return nil
}

func (ps *Store) addLocked(p *v2.Plugin) {
	p.SetSpecOptModifier(func(s *specs.Spec) { ps.applySpecOpts(p, s) })
	ps.index.Add(p)
}

// Remove takes a plugin out of the inventory. Removing an unknown plugin does
// nothing.
func (ps *Store) Remove(p *v2.Plugin) {
	ps.Lock()
	defer ps.Unlock()
	delete(ps.presences, p.GetID())
	ps.index.Remove(p.GetID())
}

// replace makes p the version that next describes, under its old ID and name.
func (ps *Store) replace(p, next *v2.Plugin) {
	ps.Lock()
	defer ps.Unlock()
	ps.index.Replace(p, next)
}

// reserve keeps name for an install until release is called. It fails with
// [ExistsError] when a plugin or another install has it.
func (ps *Store) reserve(name string) (release func(), err error) {
	ps.Lock()
	defer ps.Unlock()
	taken := ps.index.IsNamed(name)
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

// RegisterRuntimeOpt adds options for plugins of a capability. They change the
// OCI spec at every later start, in the order of registration and after
// [ManagerConfig.Hardening].
func (ps *Store) RegisterRuntimeOpt(cap string, opts ...SpecOpt) {
	ps.Lock()
	defer ps.Unlock()
	typ := interfaceType(cap)
	ps.specOpts[typ] = append(ps.specOpts[typ], opts...)
}

// harden sets the hardening of all plugins of the store.
func (ps *Store) harden(h Hardening) {
	ps.Lock()
	defer ps.Unlock()
	ps.hardening = h
}

func (ps *Store) applySpecOpts(p *v2.Plugin, spec *specs.Spec) {
	ps.RLock()
	hardening := ps.hardening
	ps.RUnlock()
	hardening.options().Apply(spec)
	for _, typ := range p.GetTypes() {
		ps.RLock()
		opts := slices.Clone(ps.specOpts[typ.String()])
		ps.RUnlock()
		for _, opt := range opts {
			opt(spec)
		}
	}
}

// interfaceType returns the name of docker's capability in a config.
func interfaceType(capability string) string {
	return fmt.Sprintf("docker.%s/1.0", strings.ToLower(capability))
}
