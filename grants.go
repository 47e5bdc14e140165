// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/docker/pkg/progress"

	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/logging"
	v2 "github.com/dovetailhq/plugin/v2"
)

// exposed returns the directories in which plugins may have left links and device
// nodes, as the start of p sees them. A directory of another plugin counts if the
// plugin has run with it, and still mounts it.
func (pm *Manager) exposed(p *v2.Plugin) v2.Exposed {
	exposures, damaged := pm.root.Exposed()
	all := v2.Exposed{Damaged: damaged}
	mounted := make(map[string]bool)
	for _, other := range pm.config.Store.all() {
		if other == p {
			continue
		}
		all.Now = append(all.Now, filepath.Join(pm.config.ExecRoot, other.GetID()), pm.root.Plugin(other.GetID()))
		for _, source := range other.WritableSources() {
			mounted[source] = true
		}
	}
	for _, exposure := range exposures {
		all.Ever = append(all.Ever, exposure.Directory)
		if mounted[exposure.Source] {
			all.Now = append(all.Now, exposure.Directory)
		}
	}
	return all
}

// takeOver pins the grants of a record without pins, such as docker's, once, and
// records where such a plugin may have written. If the list of exposures is damaged,
// it records that for all plugins. The caller holds the operation lock. If the
// grants can't be resolved now, the next start resolves them.
func (u *unit) takeOver() {
	if u.takenOver {
		return
	}
	u.takenOver = true
	added, silent, err := u.plugin.PinGrants(u.host.halted)
	if _, damaged := u.host.root.Exposed(); damaged != "" && !added {
		err = errors.Join(err, u.expose())
	}
	if added {
		err = errors.Join(u.expose(), u.save("pin grants", u.plugin))
	}
	for _, source := range silent {
		err = errors.Join(err, source)
	}
	if err != nil {
		u.logger().WithError(err).Warn("pin what was granted to plugin")
	}
}

// pinGrants pins what a user grants to p. A source that does not answer is granted
// as well, as by docker, with a warning; the next start pins it.
func (h *host) pinGrants(ctx context.Context, p *v2.Plugin, out progress.Output) error {
	_, silent, err := p.PinGrants(ctx)
	if err != nil {
		return err
	}
	var warnings []string
	for _, source := range silent {
		warnings = append(warnings, source.Error()+"; the next start remembers where the source leads")
	}
	h.warn(p.Name(), warnings, out)
	return nil
}

// warn shows warnings in the daemon's log, and in the progress of the verb that
// installs the plugin.
func (h *host) warn(name string, warnings []string, out progress.Output) {
	for _, warning := range warnings {
		progress.Message(out, "", "Warning: "+warning)
		logging.G(h.ctx).WithField("name", name).Warn("plugin config: " + warning)
	}
}

// pinForStart pins what no verb could pin, and what is in a record by docker.
func (u *unit) pinForStart(ctx context.Context) error {
	_, silent, err := u.plugin.PinGrants(ctx)
	if err == nil && len(silent) > 0 {
		return silent[0]
	}
	return err
}

// expose records persistently where the plugin can write. It precedes each run.
func (u *unit) expose() error {
	var exposures []layout.Exposure
	boot := bootID()
	for _, found := range u.plugin.Exposures() {
		exposure := layout.Exposure{Source: found.Source, Directory: found.Directory}
		if found.Volatile {
			exposure.Boot = boot
		}
		exposures = append(exposures, exposure)
	}
	return u.host.root.Expose(exposures)
}

// bootID names the host's boot, see random(4); empty where the kernel names none.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
