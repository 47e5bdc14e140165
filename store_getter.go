package plugin

import (
	"errors"
	"slices"
	"strings"

	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"

	v2 "github.com/dovetailhq/plugin/v2"
)

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
