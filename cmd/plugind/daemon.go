// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/docker/docker/api/server/router"
	"github.com/docker/docker/pkg/idtools"
	"github.com/docker/docker/registry"
	"github.com/docker/docker/volume/service"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/engineapi"
	"github.com/dovetailhq/plugin/internal/bounded"
)

// run runs plugind from start to end. It returns after ctx has ended and
// everything is shut down, or with the error that prevented it from starting or
// serving.
func run(ctx context.Context, o options) error {
	if err := errors.Join(o.validate(), o.setUpLog()); err != nil {
		return err
	}
	d, err := newDaemon(ctx, o)
	if err != nil {
		return err
	}
	err = d.serve(ctx)
	return errors.Join(err, d.close())
}

// daemon has the parts of plugind, in the order in which they start. They are
// closed in the opposite order.
type daemon struct {
	options  options
	listener net.Listener
	execRoot *os.File // locked
	server   *server  // nil until serve
	journal  *journal
	registry *registry.Service
	runner   *runner
	store    *plugin.Store
	manager  *plugin.Manager
	volumes  *volumes
	mounts   *mounts
}

// newDaemon starts everything except serving. The socket comes first: a client
// can connect at once, and gets its answer when the plugins are up.
func newDaemon(ctx context.Context, o options) (_ *daemon, err error) {
	d := &daemon{options: o, journal: newJournal(), store: plugin.NewStore()}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.listener, err = o.listen(); err != nil {
		return nil, err
	}
	if d.execRoot, err = o.lockExecRoot(); err != nil {
		return nil, err
	}
	if d.registry, err = registry.NewService(registry.ServiceOptions{InsecureRegistries: o.insecureRegistries}); err != nil {
		return nil, fmt.Errorf("--insecure-registry: %w", err)
	}
	if d.runner, err = newRunner(ctx, o); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.root, 0o711); err != nil {
		return nil, fmt.Errorf("make root: %w", err)
	}
	if err := d.endElsewhere(ctx); err != nil {
		return nil, err
	}
	if d.manager, err = d.newManager(); err != nil {
		return nil, err
	}
	// The volumes start after the plugins, because the volume service calls
	// them.
	owner := idtools.Identity{UID: os.Getuid(), GID: os.Getgid()}
	volumes, err := service.NewVolumeService(o.root, d.store, owner, d.journal)
	if err != nil {
		return nil, fmt.Errorf("start volumes: %w", err)
	}
	d.volumes = newVolumes(volumes)
	d.mounts = newMounts(d.volumes, d.journal, filepath.Join(o.execRoot, "mounts.json"))
	if o.liveRestore {
		d.mounts.takeOver(ctx)
	} else if err := d.mounts.uses.discard(); err != nil {
		return nil, fmt.Errorf("start volumes: %w", err)
	}
	return d, nil
}

func (d *daemon) newManager() (*plugin.Manager, error) {
	return plugin.NewManager(plugin.ManagerConfig{
		Store:              d.store,
		RegistryService:    d.registry,
		LiveRestoreEnabled: d.options.liveRestore,
		LogPluginEvent:     d.journal.logPlugin,
		Root:               d.options.pluginRoot(),
		ExecRoot:           filepath.Join(d.options.execRoot, "plugins"),
		CreateExecutor:     d.newExecutor,
		StopTimeout:        d.options.stopTimeout,
		Hardening:          d.options.hardening,
	})
}

// handler serves docker's endpoints and plugind's own.
func (d *daemon) handler() http.Handler { return engineapi.NewMux(version(), d.routers()...) }

func (d *daemon) routers() []router.Router {
	return []router.Router{
		engineapi.NewRouter(d.manager),
		importRoute(d.manager),
		d.mounts.router(),
		d.volumes.router(),
		d.journal.router(),
		newSystemRouter(d),
	}
}

// shutdownTimeout bounds the end of plugind, whatever hangs. It is less than the
// time after which systemd kills a service, see TimeoutStopSec= in
// https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html.
const shutdownTimeout = 80 * time.Second

// Bounds of the stages of the end that have no other bound.
const (
	managerTimeout = 41 * time.Second // as [plugin.Manager.Shutdown] takes at most
	restTimeout    = time.Second
)

// close ends what newDaemon and serve have started. It returns at shutdownTimeout
// at the latest; the error lists what is left then.
func (d *daemon) close() error { return bounded.Finish(shutdownTimeout, d.end) }

// end is the stages of close.
func (d *daemon) end(s *bounded.Stages) {
	if d.server != nil {
		s.Do(drainTimeout, "finish requests", d.server.drain)
	}
	if d.listener != nil {
		_ = d.listener.Close() // closed already, if it was served
	}
	if d.mounts != nil && !d.options.liveRestore {
		s.Do(volumeDrainTimeout, "unmount volumes", d.mounts.releaseAll)
	}
	if d.volumes != nil {
		s.Do(volumeDrainTimeout, "end calls of volume plugins", d.volumes.drain)
		s.Do(restTimeout, "close volumes", bounded.IgnoringContext(d.volumes.Shutdown))
	}
	if d.manager != nil {
		s.Do(managerTimeout, "stop plugins", func(context.Context) error { d.manager.Shutdown(); return nil })
	}
	if d.runner != nil {
		s.Do(restTimeout, "close runner", bounded.IgnoringContext(d.runner.close))
	}
	if d.execRoot != nil {
		_ = d.execRoot.Close() // releases the lock
	}
}

// routes is a router with a fixed list of routes.
type routes []router.Route

func (r routes) Routes() []router.Route { return r }
