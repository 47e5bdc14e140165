package plugin

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/distribution/reference"
	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	v2 "github.com/dovetailhq/plugin/v2"
)

// Store is the inventory of plugins: an index in memory, by id, name and
// capability. It is what the rest of a daemon finds plugins through, and
// implements [plugingetter.PluginGetter].
//
// Make one with [NewStore]. All methods may be called concurrently; Get and
// GetAllByCap also on a nil Store, which has no plugins but the legacy ones.
// Callbacks run with no lock held, so they may call the Store again.
type Store struct {
	sync.RWMutex
	plugins      map[string]*v2.Plugin          // by id
	names        map[string]*v2.Plugin          // by familiar name with tag
	ids          []string                       // sorted, to look prefixes up
	capabilities map[string][]*v2.Plugin        // by capability of docker's prefix, by id
	digests      map[digest.Digest][]*v2.Plugin // by manifest, and by what was pulled
	reserved     map[string]struct{}            // names of installs under way
	handlers     map[string][]func(string, *plugins.Client)
	specOpts     map[string][]SpecOpt
	hardening    Hardening // of all plugins, before specOpts
	legacy       legacy
}

var _ plugingetter.PluginGetter = (*Store)(nil)

// NewStore makes an empty Store.
func NewStore() *Store {
	ps := &Store{
		handlers: make(map[string][]func(string, *plugins.Client)),
		specOpts: make(map[string][]SpecOpt),
		reserved: make(map[string]struct{}),
	}
	ps.resetLocked()
	return ps
}

func (ps *Store) resetLocked() {
	ps.plugins = make(map[string]*v2.Plugin)
	ps.names = make(map[string]*v2.Plugin)
	ps.ids = nil
	ps.capabilities = make(map[string][]*v2.Plugin)
	ps.digests = make(map[digest.Digest][]*v2.Plugin)
}

// GetV2Plugin looks a managed plugin up, enabled or not: by its id, by its
// name, of which the default registry and tag may be left out and which may
// have the digest that was pulled or that of the manifest, or by a prefix of
// its id that no other plugin shares. Errors: [NotFoundError],
// [AmbiguousError].
func (ps *Store) GetV2Plugin(refOrID string) (*v2.Plugin, error) {
	if p := ps.exact(refOrID); p != nil {
		return p, nil
	}
	named, err := reference.ParseNormalizedNamed(refOrID)
	if err != nil {
		return ps.byPrefix(refOrID)
	}
	if canonical, ok := named.(reference.Canonical); ok {
		return ps.byDigest(refOrID, canonical)
	}
	if p := ps.exact(reference.FamiliarString(reference.TagNameOnly(named))); p != nil {
		return p, nil
	}
	return ps.byPrefix(refOrID)
}

func (ps *Store) exact(idOrName string) *v2.Plugin {
	ps.RLock()
	defer ps.RUnlock()
	if p, ok := ps.plugins[idOrName]; ok {
		return p
	}
	return ps.names[idOrName]
}

// byDigest finds the one plugin of a repository, and of a tag if there is one,
// that has a digest.
func (ps *Store) byDigest(ref string, wanted reference.Canonical) (*v2.Plugin, error) {
	ps.RLock()
	defer ps.RUnlock()
	isNamed := func(name string) bool { return strings.HasPrefix(name, reference.FamiliarName(wanted)+":") }
	if tagged, ok := wanted.(reference.Tagged); ok {
		isNamed = func(name string) bool { return name == reference.FamiliarName(wanted)+":"+tagged.Tag() }
	}
	var found *v2.Plugin
	for _, p := range ps.digests[wanted.Digest()] {
		if !isNamed(p.Name()) {
			continue
		}
		if found != nil {
			return nil, &AmbiguousError{Ref: ref}
		}
		found = p
	}
	if found == nil {
		return nil, &NotFoundError{Ref: ref}
	}
	return found, nil
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

func (ps *Store) byPrefix(prefix string) (*v2.Plugin, error) {
	ps.RLock()
	defer ps.RUnlock()
	i, _ := slices.BinarySearch(ps.ids, prefix)
	if prefix == "" || i == len(ps.ids) || !strings.HasPrefix(ps.ids[i], prefix) {
		return nil, &NotFoundError{Ref: prefix}
	}
	if i+1 < len(ps.ids) && strings.HasPrefix(ps.ids[i+1], prefix) {
		return nil, &AmbiguousError{Ref: prefix}
	}
	return ps.plugins[ps.ids[i]], nil
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
	all := make([]*v2.Plugin, len(ps.ids))
	for i, id := range ps.ids {
		all[i] = ps.plugins[id]
	}
	return all
}

// SetAll replaces the inventory, as a daemon does when it starts. Where two
// plugins have one name, the one of the lower id has it.
func (ps *Store) SetAll(all map[string]*v2.Plugin) {
	ps.Lock()
	defer ps.Unlock()
	ps.resetLocked()
	for _, id := range slices.Sorted(maps.Keys(all)) {
		ps.addLocked(id, all[id])
	}
}

// Add puts a plugin into the inventory. Its id and its name must be free, see
// [ExistsError].
func (ps *Store) Add(p *v2.Plugin) error {
	ps.Lock()
	defer ps.Unlock()
	if _, taken := ps.plugins[p.GetID()]; taken {
		return &ExistsError{Name: p.GetID()}
	}
	if _, taken := ps.names[p.Name()]; taken {
		return &ExistsError{Name: p.Name()}
	}
	ps.addLocked(p.GetID(), p)
	return nil
}

func (ps *Store) addLocked(id string, p *v2.Plugin) {
	p.SetSpecOptModifier(func(s *specs.Spec) { ps.applySpecOpts(p, s) })
	ps.plugins[id] = p
	if _, taken := ps.names[p.Name()]; !taken {
		ps.names[p.Name()] = p
	}
	i, _ := slices.BinarySearch(ps.ids, id)
	ps.ids = slices.Insert(ps.ids, i, id)
	ps.indexLocked(p)
}

func (ps *Store) indexLocked(p *v2.Plugin) {
	for _, capability := range capabilitiesOf(p) {
		ps.capabilities[capability] = insertByID(ps.capabilities[capability], p)
	}
	for _, dgst := range digestsOf(p) {
		ps.digests[dgst] = insertByID(ps.digests[dgst], p)
	}
}

func (ps *Store) unindexLocked(p *v2.Plugin) {
	for capability, list := range ps.capabilities {
		ps.capabilities[capability] = without(list, p)
	}
	for _, dgst := range digestsOf(p) {
		if ps.digests[dgst] = without(ps.digests[dgst], p); len(ps.digests[dgst]) == 0 {
			delete(ps.digests, dgst)
		}
	}
}

// without returns a new slice, as readers may hold the old one.
func without(list []*v2.Plugin, p *v2.Plugin) []*v2.Plugin {
	i := slices.Index(list, p)
	if i < 0 {
		return list
	}
	return slices.Concat(list[:i], list[i+1:])
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

// insertByID returns a new slice, as readers may hold the old one.
func insertByID(list []*v2.Plugin, p *v2.Plugin) []*v2.Plugin {
	i, _ := slices.BinarySearchFunc(list, p.GetID(), func(have *v2.Plugin, id string) int {
		return strings.Compare(have.GetID(), id)
	})
	return slices.Insert(slices.Clip(list), i, p)
}

// Remove takes a plugin out of the inventory. One that is not there is left
// at that.
func (ps *Store) Remove(p *v2.Plugin) {
	ps.Lock()
	defer ps.Unlock()
	id := p.GetID()
	known, ok := ps.plugins[id]
	if !ok {
		return
	}
	delete(ps.plugins, id)
	if ps.names[known.Name()] == known {
		delete(ps.names, known.Name())
	}
	if i, found := slices.BinarySearch(ps.ids, id); found {
		ps.ids = slices.Delete(ps.ids, i, i+1)
	}
	ps.unindexLocked(known)
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

// Get returns the enabled plugin of a name that has a capability, and applies
// mode, one of plugingetter's Lookup, Acquire and Release, to its references
// in the same step. A name that no managed plugin has is looked up among the
// legacy plugins; a legacy plugin that exists but does not answer yet is
// waited for, as docker does, but a name that nobody knows is not.
//
// Errors: [NotFoundError], [AmbiguousError], [DisabledError],
// [v2.ErrInadequateCapability], and class System for a legacy plugin that
// does not answer.
func (ps *Store) Get(name, capability string, mode int) (plugingetter.CompatPlugin, error) {
	if ps == nil {
		return (*legacy)(nil).get(name, capability)
	}
	p, err := ps.GetV2Plugin(name)
	if err == nil {
		return use(p, capability, mode)
	}
	var unknown *NotFoundError
	if !errors.As(err, &unknown) {
		return nil, err
	}
	return ps.legacy.get(name, capability)
}

func use(p *v2.Plugin, capability string, mode int) (plugingetter.CompatPlugin, error) {
	err := p.Use(capability, mode)
	var disabled v2.ErrDisabled
	if errors.As(err, &disabled) {
		return nil, &DisabledError{Name: p.Name()}
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// GetAllManagedPluginsByCap returns the enabled plugins that have a
// capability, ordered by id, without the legacy ones.
func (ps *Store) GetAllManagedPluginsByCap(capability string) []plugingetter.CompatPlugin {
	ps.RLock()
	list := ps.capabilities[strings.ToLower(capability)]
	ps.RUnlock()
	var enabled []plugingetter.CompatPlugin
	for _, p := range list {
		if p.IsEnabled() {
			enabled = append(enabled, p)
		}
	}
	return enabled
}

// GetAllByCap returns the enabled plugins that have a capability, managed
// ones first, then the legacy ones. Legacy plugins that do not answer are
// left out.
func (ps *Store) GetAllByCap(capability string) ([]plugingetter.CompatPlugin, error) {
	var all []plugingetter.CompatPlugin
	if ps != nil {
		all = ps.GetAllManagedPluginsByCap(capability)
	}
	old, err := legacyByCapability(capability)
	if err != nil {
		return nil, err
	}
	return append(all, old...), nil
}

// Handle registers a callback that is told of each plugin of a capability as
// it becomes ready, with its name and client: managed ones, at every start,
// and legacy ones, when they are first used.
func (ps *Store) Handle(capability string, callback func(string, *plugins.Client)) {
	ps.Lock()
	typ := interfaceType(capability)
	ps.handlers[typ] = append(ps.handlers[typ], callback)
	ps.Unlock()
	plugins.Handle(capability, callback)
}

// CallHandler calls the callbacks registered for the plugin's capabilities.
func (ps *Store) CallHandler(p *v2.Plugin) {
	for _, typ := range p.GetTypes() {
		ps.RLock()
		handlers := slices.Clone(ps.handlers[typ.String()])
		ps.RUnlock()
		for _, handler := range handlers {
			handler(p.Name(), p.Client())
		}
	}
}

// RegisterRuntimeOpt adds options for plugins of a capability. They change
// the OCI spec at every start from now on, in the order of registration, after
// [ManagerConfig.Hardening] has.
func (ps *Store) RegisterRuntimeOpt(cap string, opts ...SpecOpt) {
	ps.Lock()
	defer ps.Unlock()
	typ := interfaceType(cap)
	ps.specOpts[typ] = append(ps.specOpts[typ], opts...)
}

// harden is how a manager has all plugins of its store hardened.
func (ps *Store) harden(h Hardening) {
	ps.Lock()
	defer ps.Unlock()
	ps.hardening = h
}

func (ps *Store) applySpecOpts(p *v2.Plugin, spec *specs.Spec) {
	ps.RLock()
	hardening := ps.hardening
	ps.RUnlock()
	hardening.apply(spec)
	for _, typ := range p.GetTypes() {
		ps.RLock()
		opts := slices.Clone(ps.specOpts[typ.String()])
		ps.RUnlock()
		for _, opt := range opts {
			opt(spec)
		}
	}
}

// interfaceType is how a config names a capability of docker's.
func interfaceType(capability string) string {
	return fmt.Sprintf("docker.%s/1.0", strings.ToLower(capability))
}
