package plugin

import (
	"context"
	"encoding/json"

	"github.com/docker/docker/api/types/events"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/ids"
	"github.com/dovetailhq/plugin/internal/layout"
	v2 "github.com/dovetailhq/plugin/v2"
)

// install is a plugin on its way in: a reserved name, a fresh id, a stage on
// disk and pinned blobs. Nobody sees it before commit.
type install struct {
	manager   *Manager
	name      string
	id        string
	stage     *layout.Stage
	pin       *blobs.Pin
	release   func()
	committed bool
}

// beginInstall reserves name. End must follow.
func (pm *Manager) beginInstall(name string) (*install, error) {
	if err := pm.writable(); err != nil {
		return nil, err
	}
	release, err := pm.config.Store.reserve(name)
	if err != nil {
		return nil, err
	}
	in := &install{manager: pm, name: name, id: ids.New(), release: release}
	if in.stage, err = pm.root.Stage(in.id); err != nil {
		release()
		return nil, in.storageError(err)
	}
	in.pin = pm.blobs.NewPin()
	return in, nil
}

// commit puts the plugin in its place, publishes it, and tells of it.
func (in *install) commit(ctx context.Context, p *v2.Plugin, action events.Action) error {
	p.Rootfs = in.manager.root.Rootfs(in.id)
	if err := p.PinDevices(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	record, err := json.Marshal(p)
	if err != nil {
		return in.storageError(err)
	}
	if err := in.stage.Commit(record); err != nil {
		return in.storageError(err)
	}
	// The name is reserved, but an embedder may add plugins by hand.
	if err := in.manager.config.Store.Add(p); err != nil {
		return err
	}
	in.committed = true
	u := newInstalledUnit(in.manager, p)
	u.operation <- struct{}{} // no other verb has seen it
	in.manager.register(u)
	u.announce(action, EventCreate{Plugin: p.Snapshot()})
	u.release()
	return nil
}

// end releases what the install held, and deletes what was not committed.
func (in *install) end() {
	if !in.committed {
		if err := in.stage.TakeBack(); err != nil {
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
