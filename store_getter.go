package plugin

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/pkg/authorization"
	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"

	v2 "github.com/dovetailhq/plugin/v2"
)

// presence knows whether the process of a plugin serves; units do.
type presence interface {
	// available returns nil, or why calls would fail. It may wait until limit,
	// which may have passed.
	available(limit time.Time) error
}

// Get returns the enabled plugin of a name that has a capability, and applies
// mode, one of plugingetter's Lookup, Acquire and Release, to its references
// in the same step. What it returns can be called: Client and Addr are not nil.
//
// A plugin that does not serve now, because it exited or did not start, is
// answered with an [UnavailableError] at once; the manager goes on starting it.
// For the first 2 s of a start, or after an exit, Get waits for the plugin
// instead. Release drops the reference in any case. Authorization plugins are
// given out also when they do not serve: docker's middleware looks a plugin up
// once, and refuses requests while its calls fail.
//
// A name that no managed plugin has is looked up among the legacy plugins; a
// legacy plugin that exists but does not answer yet is waited for, as docker
// does, but an unknown name is not.
//
// Errors: [NotFoundError], [AmbiguousError], [BrokenError], [DisabledError],
// [UnavailableError], [v2.ErrInadequateCapability], and class System for a
// legacy plugin that does not answer.
func (ps *Store) Get(name, capability string, mode int) (plugingetter.CompatPlugin, error) {
	if ps == nil {
		return (*legacy)(nil).get(name, capability)
	}
	p, err := ps.GetV2Plugin(name)
	if err == nil {
		return ps.use(p, capability, mode)
	}
	var unknown *NotFoundError
	if !errors.As(err, &unknown) {
		return nil, err
	}
	return ps.legacy.get(name, capability)
}

func (ps *Store) use(p *v2.Plugin, capability string, mode int) (plugingetter.CompatPlugin, error) {
	// A reference that is dropped, or not to be given, is counted at once.
	before, after := mode, plugingetter.Lookup
	if mode > 0 {
		before, after = after, before
	}
	if err := count(p, capability, before); err != nil {
		return nil, err
	}
	if err := ps.available(p, capability, time.Now().Add(firstMoments)); err != nil {
		return nil, err
	}
	if err := count(p, capability, after); err != nil {
		return nil, err // it was disabled meanwhile
	}
	return p, nil
}

// count applies mode to the references of an enabled plugin.
func count(p *v2.Plugin, capability string, mode int) error {
	err := p.Use(capability, mode)
	var disabled v2.ErrDisabled
	if errors.As(err, &disabled) {
		return &DisabledError{Name: p.Name()}
	}
	return err
}

// available returns nil when calls to p get through. A plugin that can't be
// reached is not waited for: it has no socket that a start could make.
func (ps *Store) available(p *v2.Plugin, capability string, limit time.Time) error {
	ps.RLock()
	attended := ps.presences[p.GetID()]
	ps.RUnlock()
	reachable := p.Client() != nil && p.Addr() != nil
	if reachable && (attended == nil || strings.EqualFold(capability, authorization.AuthZApiImplements)) {
		return nil
	}
	if reachable {
		return attended.available(limit)
	}
	if attended != nil {
		if err := attended.available(time.Time{}); err != nil {
			return err
		}
	}
	return &UnavailableError{Name: p.Name(), LastError: "it has no address"}
}

// GetAllManagedPluginsByCap returns the enabled plugins that have a
// capability and serve, ordered by id, without the legacy ones. As [Store.Get]
// does, it waits for plugins that have just begun to start or have just
// exited, 2 s at most for all together.
func (ps *Store) GetAllManagedPluginsByCap(capability string) []plugingetter.CompatPlugin {
	ps.RLock()
	list := ps.capabilities[strings.ToLower(capability)]
	ps.RUnlock()
	limit := time.Now().Add(firstMoments)
	var enabled []plugingetter.CompatPlugin
	for _, p := range list {
		if p.IsEnabled() && ps.available(p, capability, limit) == nil && p.IsEnabled() {
			enabled = append(enabled, p)
		}
	}
	return enabled
}

// GetAllByCap returns what [Store.GetAllManagedPluginsByCap] does, and then the
// legacy plugins of a capability. Legacy plugins that do not answer are left
// out.
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

// Handle registers a callback for the plugins of a capability. It is called with
// the name and client of each one that becomes ready: of managed plugins, at
// every start, and of legacy plugins, at their first use.
func (ps *Store) Handle(capability string, callback func(string, *plugins.Client)) {
	ps.Lock()
	typ := interfaceType(capability)
	ps.handlers[typ] = append(ps.handlers[typ], callback)
	ps.Unlock()
	plugins.Handle(capability, callback)
}

// CallHandler calls the callbacks registered for the plugin's capabilities. A
// plugin without a client, which no manager has loaded, is ignored.
func (ps *Store) CallHandler(p *v2.Plugin) {
	client := p.Client()
	if client == nil {
		return
	}
	for _, typ := range p.GetTypes() {
		ps.RLock()
		handlers := slices.Clone(ps.handlers[typ.String()])
		ps.RUnlock()
		for _, handler := range handlers {
			handler(p.Name(), client)
		}
	}
}
