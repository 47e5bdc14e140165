// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/pkg/authorization"
	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"

	"github.com/dovetailhq/plugin/internal/legacy"
	"github.com/dovetailhq/plugin/internal/logging"
	v2 "github.com/dovetailhq/plugin/v2"
)

// presence reports whether the process of a plugin serves. Units implement it.
type presence interface {
	// available returns nil, or why calls would fail. It may wait until limit;
	// it does not wait if limit has passed.
	available(limit time.Time) error
}

// Get returns the enabled plugin of a name that has a capability, and applies
// mode, one of plugingetter's Lookup, Acquire and Release, to its references
// in the same step. Client and Addr of the returned plugin are not nil.
//
// If the plugin does not serve now, because it exited or did not start, Get
// returns an [UnavailableError]; the manager keeps trying to start the plugin.
// During the first 2 s of a start or after an exit, Get waits for the plugin
// first. Release drops the reference in any case. Authorization plugins are
// returned even if they do not serve: docker's middleware looks a plugin up once,
// and refuses requests while its calls fail.
//
// A name that no managed plugin has is looked up among the legacy plugins. As
// docker does, Get waits for a legacy plugin that is not there yet, up to
// [ManagerConfig.LegacyWait] or the end of the manager, and then up to 15 s until
// it answers. A name with a slash or a colon can only be a managed plugin's: Get
// does not wait for it, and neither does a Release.
//
// Errors: [NotFoundError], [AmbiguousError], [BrokenError], [DisabledError],
// [UnavailableError], [v2.ErrInadequateCapability], and class System for a
// legacy plugin that does not answer.
func (ps *Store) Get(name, capability string, mode int) (plugingetter.CompatPlugin, error) {
	if ps == nil {
		return legacyPlugin(nil, name, capability, mode)
	}
	p, err := ps.GetV2Plugin(name)
	if err == nil {
		return ps.use(p, capability, mode)
	}
	var unknown *NotFoundError
	if !errors.As(err, &unknown) {
		return nil, err
	}
	return legacyPlugin(&ps.legacy, name, capability, mode)
}

// legacyPlugin returns the legacy plugin of a name. Except for a Release it waits for
// a plugin that is not there yet.
func legacyPlugin(finder *legacy.Finder, name, capability string, mode int) (plugingetter.CompatPlugin, error) {
	public := func(err error) error {
		if errors.Is(err, legacy.ErrNotFound) {
			return &NotFoundError{Ref: name}
		}
		return &LegacyError{Err: err}
	}
	var waiting func(time.Duration, error)
	if mode >= 0 {
		waiting = func(wait time.Duration, reason error) {
			logging.L().WithField("plugin", name).WithError(public(reason)).Warnf("legacy plugin is not there: waiting for it up to %s", wait)
		}
	}
	p, err := finder.Get(name, capability, waiting)
	if err != nil {
		return nil, public(err)
	}
	return p, nil
}

func (ps *Store) use(p *v2.Plugin, capability string, mode int) (plugingetter.CompatPlugin, error) {
	// Release and Lookup are applied before the wait, Acquire after it.
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
		return nil, err // it was disabled during the wait
	}
	return p, nil
}

// count applies mode to the references of an enabled plugin.
func count(p *v2.Plugin, capability string, mode int) error {
	err := p.Use(capability, mode)
	var disabled *v2.DisabledError
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
// capability and serve, ordered by ID, without the legacy ones. As [Store.Get]
// does, it waits for plugins that have just begun to start or have just
// exited, 2 s at most for all together.
func (ps *Store) GetAllManagedPluginsByCap(capability string) []plugingetter.CompatPlugin {
	ps.RLock()
	list := ps.index.WithCapability(strings.ToLower(capability))
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

// GetAllByCap returns the plugins of [Store.GetAllManagedPluginsByCap], followed
// by the legacy plugins of the capability. Legacy plugins that do not answer are
// left out.
func (ps *Store) GetAllByCap(capability string) ([]plugingetter.CompatPlugin, error) {
	var all []plugingetter.CompatPlugin
	if ps != nil {
		all = ps.GetAllManagedPluginsByCap(capability)
	}
	old, err := legacy.WithCapability(capability)
	if err != nil {
		return nil, &LegacyError{Err: err}
	}
	return append(all, old...), nil
}

// Handle registers a callback for the plugins of a capability. It is called with
// a plugin's name and client whenever a managed plugin becomes ready, and when a
// legacy plugin is first used.
func (ps *Store) Handle(capability string, callback func(string, *plugins.Client)) {
	ps.Lock()
	typ := interfaceType(capability)
	ps.handlers[typ] = append(ps.handlers[typ], callback)
	ps.Unlock()
	plugins.Handle(capability, callback)
}

// CallHandler calls the callbacks registered for the plugin's capabilities. It
// ignores a plugin without a client: no manager has loaded it.
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
