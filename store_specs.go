package plugin

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	v2 "github.com/dovetailhq/plugin/v2"
)

// RegisterRuntimeOpt adds options for plugins of a capability. They change
// the OCI spec at every start from now on, in the order of registration, after
// [ManagerConfig.Hardening] has.
func (ps *Store) RegisterRuntimeOpt(cap string, opts ...SpecOpt) {
	ps.Lock()
	defer ps.Unlock()
	typ := interfaceType(cap)
	ps.specOpts[typ] = append(ps.specOpts[typ], opts...)
}

// harden sets what takes from all plugins of the store.
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
