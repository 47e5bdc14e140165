// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/pkg/progress"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/ids"
	"github.com/dovetailhq/plugin/internal/layout"
	v2 "github.com/dovetailhq/plugin/v2"
)

// install is a plugin on its way in: a reserved name, an ID, a place on disk and
// pinned blobs. It is not visible before commit.
type install struct {
	manager   *Manager
	name      string
	id        string
	place     place
	stage     *layout.Stage // the place, unless that is an adoption
	pin       *blobs.Pin
	release   func()
	committed bool
}

// place is where an install prepares a plugin: a stage, or an adoption of a directory
// that is there already.
type place interface {
	// Commit makes the plugin with this record an installed one.
	Commit(record []byte) error
	// TakeBack undoes a failed Commit, and deletes what the install has made.
	TakeBack() error
}

// beginInstall reserves name for a plugin with a fresh ID. The caller must call end.
func (pm *Manager) beginInstall(ctx context.Context, name string) (*install, error) {
	return pm.beginInstallAs(ctx, name, ids.New())
}

func (pm *Manager) beginInstallAs(ctx context.Context, name, id string) (*install, error) {
	in, err := pm.reserve(name, id)
	if err != nil {
		return nil, err
	}
	if in.stage, err = pm.root.Stage(ctx, id); err != nil {
		in.release()
		return nil, in.storageError(err)
	}
	in.place = in.stage
	in.pin = pm.blobs.NewPin()
	return in, nil
}

// reserve returns an install that has no place yet.
func (pm *Manager) reserve(name, id string) (*install, error) {
	if err := pm.writable(); err != nil {
		return nil, err
	}
	release, err := pm.config.Store.reserve(name)
	if err != nil {
		return nil, err
	}
	return &install{manager: pm, name: name, id: id, release: release}, nil
}

// commit puts the plugin in its place, publishes it, and announces it.
func (in *install) commit(ctx context.Context, p *v2.Plugin, out progress.Output, action events.Action) error {
	if err := in.settle(ctx, p, out); err != nil {
		return err
	}
	u := newInstalledUnit(&in.manager.host, p)
	u.operation <- struct{}{} // no other verb has seen it
	in.manager.register(u)
	u.announce(action, EventCreate{Plugin: p.Snapshot()})
	u.release()
	return nil
}

// settle puts the plugin in its place and into the Store. The caller registers its
// unit.
func (in *install) settle(ctx context.Context, p *v2.Plugin, out progress.Output) error {
	p.Rootfs = in.manager.root.Rootfs(in.id)
	if err := in.manager.pinGrants(ctx, p, out); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	record, err := json.Marshal(p)
	if err != nil {
		return in.storageError(err)
	}
	if err := in.place.Commit(record); err != nil {
		return in.storageError(err)
	}
	// The name is reserved, but an embedder may add plugins by hand.
	if err := in.manager.config.Store.Add(p); err != nil {
		return err
	}
	in.committed = true
	return nil
}

// end releases the reservation and the pin, and deletes a stage that was not
// committed.
func (in *install) end() {
	if !in.committed {
		if err := in.place.TakeBack(); err != nil {
			in.manager.warnOfLeftover(err, "remove install that failed")
		}
	}
	in.pin.Release()
	in.release()
	if !in.committed {
		in.manager.requestGC()
	}
}

func (in *install) storageError(err error) error {
	return &StorageError{Op: "install", Name: in.name, Err: err}
}

// warnOfConfig shows the warnings of a config.
func (pm *Manager) warnOfConfig(name string, config types.PluginConfig, out progress.Output) {
	pm.warn(name, v2.ConfigWarnings(config), out)
}

// parseNewName returns the familiar name of a new plugin.
func parseNewName(text string) (string, error) {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return "", &InvalidError{What: fmt.Sprintf("plugin name %q", text), Err: err}
	}
	if _, ok := named.(reference.Canonical); ok {
		return "", &InvalidError{What: fmt.Sprintf("plugin name %q", text), Err: errors.New("it has a digest: use a tag or nothing")}
	}
	return reference.FamiliarString(reference.TagNameOnly(named)), nil
}
