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

	"github.com/docker/docker/api/server/router"
	"github.com/docker/docker/pkg/idtools"
	"github.com/docker/docker/registry"
	"github.com/docker/docker/volume/service"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/engineapi"
)

// run is plugind from start to end. It returns once ctx ended and everything
// was shut down, or with the error that kept it from starting or serving.
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

// daemon is the parts of plugind, in the order they are started. They are
// closed in the opposite order.
type daemon struct {
	options  options
	listener net.Listener
	execRoot *os.File // locked
	journal  *journal
	registry *registry.Service
	runner   *runner
	store    *plugin.Store
	manager  *plugin.Manager
	volumes  *volumes
	mounts   *mounts
}

// newDaemon starts everything but serving. The socket comes first: a client
// may connect at once and is answered when the plugins are up.
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
	if d.manager, err = d.newManager(); err != nil {
		return nil, err
	}
	// The volumes come after the plugins that keep them, which they ask.
	if err := os.MkdirAll(o.root, 0o711); err != nil {
		return nil, fmt.Errorf("make root: %w", err)
	}
	owner := idtools.Identity{UID: os.Getuid(), GID: os.Getgid()}
	volumes, err := service.NewVolumeService(o.root, d.store, owner, d.journal)
	if err != nil {
		return nil, fmt.Errorf("start volumes: %w", err)
	}
	d.volumes = newVolumes(volumes)
	d.mounts = newMounts(d.volumes, d.journal, filepath.Join(o.execRoot, "mounts.json"))
	if o.liveRestore {
		d.mounts.takeOver(ctx)
	} else if err := d.mounts.uses.forget(); err != nil {
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
		Root:               filepath.Join(d.options.root, "plugins"),
		ExecRoot:           filepath.Join(d.options.execRoot, "plugins"),
		CreateExecutor:     d.runner.newExecutor,
		Hardening:          d.options.hardening,
	})
}

// handler serves docker's endpoints and our own.
func (d *daemon) handler() http.Handler { return engineapi.NewMux(version(), d.routers()...) }

func (d *daemon) routers() []router.Router {
	return []router.Router{
		engineapi.NewRouter(d.manager),
		d.mounts.router(),
		d.volumes.router(),
		d.journal.router(),
		newSystemRouter(d),
	}
}

// close ends what newDaemon started, as far as it got.
func (d *daemon) close() error {
	var problems []error
	if d.listener != nil {
		_ = d.listener.Close() // serve has closed it, if it came to that
	}
	if d.mounts != nil && !d.options.liveRestore {
		d.mounts.releaseAll()
	}
	if d.volumes != nil {
		problems = append(problems, d.volumes.Shutdown())
	}
	if d.manager != nil {
		d.manager.Shutdown()
	}
	if d.runner != nil {
		problems = append(problems, d.runner.close())
	}
	if d.execRoot != nil {
		_ = d.execRoot.Close() // which frees it
	}
	return errors.Join(problems...)
}

// routes is a router of fixed routes.
type routes []router.Route

func (r routes) Routes() []router.Route { return r }
