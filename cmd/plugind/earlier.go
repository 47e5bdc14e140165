// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/events"
	"golang.org/x/sys/unix"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/dirlock"
	"github.com/dovetailhq/plugin/internal/logging"
)

// place is where a plugind runs its plugins. An executor finds only the runs of its
// own place.
type place struct {
	Boot       string // of the system: a reboot ends all runs
	ExecRoot   string
	Containerd string
}

// elsewhereTimeout bounds the end of the runs in another place, whatever hangs: the
// connection to containerd, a start of a manager and its shutdown.
const elsewhereTimeout = 2 * time.Minute

func (o options) place() (place, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return place{strings.TrimSpace(string(boot)), resolved(o.execRoot), resolved(o.containerd)}, err
}

// resolved returns the path without links. One place can have many names.
func resolved(path string) string {
	if path == "" {
		return "" // no containerd
	}
	if path, err := filepath.EvalSymlinks(strings.TrimPrefix(path, "unix://")); err == nil {
		return path
	}
	return path
}

// pluginRoot is the root of the manager.
func (o options) pluginRoot() string { return filepath.Join(o.root, "plugins") }

// placeFile is the file with the place of the newest plugind of this root.
func (o options) placeFile() string { return filepath.Join(o.root, "place.json") }

// newExecutor records the place of this plugind, and makes its executor. A manager
// that calls it has locked its root, and has started no plugin yet.
func (d *daemon) newExecutor(manager *plugin.Manager) (plugin.Executor, error) {
	if err := d.options.recordPlace(); err != nil {
		// plugind starts on a full disk, as dockerd does.
		logging.L().WithError(err).Warn("record where plugins run: the next plugind does not end them if its --exec-root or --containerd differs")
	}
	return d.runner.newExecutor(manager)
}

func (o options) recordPlace() error {
	here, err := o.place()
	if err != nil {
		return err
	}
	data, err := json.Marshal(here)
	if err != nil {
		return err
	}
	return replaceFile(o.placeFile(), data)
}

// earlierPlace returns the place of the last plugind of this root. It is empty if
// that is not known. A file without sense is what a crash of the system leaves, and
// no plugin outlives that.
func (o options) earlierPlace() (earlier place, err error) {
	data, err := os.ReadFile(o.placeFile())
	if errors.Is(err, fs.ErrNotExist) {
		return place{}, nil
	}
	if err != nil {
		return place{}, err
	}
	if err := json.Unmarshal(data, &earlier); err != nil {
		logging.L().WithError(err).WithField("file", o.placeFile()).Warn("ignore damaged record of where plugins run")
		return place{}, nil
	}
	return earlier, nil
}

// endElsewhere ends the runs that an earlier plugind of the same root left in
// another place, after a crash or with --live-restore. Without that, the flags
// --exec-root and --containerd of the next plugind would hide them, and each plugin
// would run twice.
func (d *daemon) endElsewhere(ctx context.Context) error {
	here, err := d.options.place()
	if err != nil {
		return err
	}
	earlier, err := d.options.earlierPlace()
	if err != nil || earlier.Boot != here.Boot || earlier == here {
		return err
	}
	lock, err := dirlock.Lock(d.options.pluginRoot())
	if errors.Is(err, dirlock.ErrLocked) {
		return nil // the plugind that runs them lives, and the manager will be refused
	}
	if err == nil {
		defer lock.Close()
	}
	end := func(ctx context.Context) error { return d.endRuns(ctx, earlier) }
	if err := bounded.Step(ctx, elsewhereTimeout, "end plugins that run elsewhere", end); err != nil {
		return fmt.Errorf("%w: start plugind with --exec-root=%s --containerd=%s, or remove %s if no plugin runs", err, earlier.ExecRoot, earlier.Containerd, d.options.placeFile())
	}
	return nil
}

// endRuns ends all runs in a place, also if its directory was deleted: runs outlive
// their files, and executors find them without.
func (d *daemon) endRuns(ctx context.Context, earlier place) (err error) {
	o := options{execRoot: earlier.ExecRoot, containerd: earlier.Containerd, runtime: d.options.runtime, hardening: d.options.hardening}
	if o.containerd != "" && !hasRuns(o.containerdRoot(), o.containerd) {
		return nil // its containerd need not answer
	}
	if o.execRoot != resolved(d.options.execRoot) {
		giveBack, err := o.borrowExecRoot()
		switch {
		case errors.Is(err, errInUse):
			return nil // another plugind has ended the runs in it that it did not know
		case isAbsent(err):
			return nil // a file is in its place
		case err != nil:
			return err
		}
		defer giveBack()
	}
	r, err := newRunner(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(endUnknown(r), r.close())
}

// borrowExecRoot locks --exec-root until giveBack is called. A directory that was
// absent is deleted then, as what an executor makes there is of no use without runs.
func (o options) borrowExecRoot() (giveBack func(), err error) {
	_, absent := os.Stat(o.execRoot)
	lock, err := o.lockExecRoot()
	if err != nil {
		return nil, err
	}
	return func() {
		if isAbsent(absent) {
			if err := os.RemoveAll(o.execRoot); err != nil {
				logging.L().WithError(err).Warn("remove exec root of an earlier plugind")
			}
		}
		_ = lock.Close()
	}, nil
}

// hasRuns reports whether the containerd at address can have runs of the executor
// with the given directory.
func hasRuns(directory, address string) bool {
	entries, err := os.ReadDir(directory)
	if isAbsent(err) {
		_, err := os.Stat(strings.TrimPrefix(address, "unix://"))
		return !isAbsent(err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			return true
		}
	}
	return err != nil
}

func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// endUnknown ends all runs of a runner, as a manager does that has no plugins. It
// returns an error if a run is left.
func endUnknown(r *runner) (err error) {
	directory, err := os.MkdirTemp(r.options.execRoot, "earlier")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	manager, err := plugin.NewManager(plugin.ManagerConfig{
		Root:           filepath.Join(directory, "root"),
		ExecRoot:       filepath.Join(directory, "exec"),
		CreateExecutor: r.newExecutor,
		LogPluginEvent: func(string, string, events.Action) {},
		BootWait:       -1, // all runs are listed then
	})
	if err != nil {
		return err
	}
	logging.L().WithField("exec-root", r.options.execRoot).WithField("containerd", r.options.containerd).Warn("end the plugins of an earlier plugind, which had another --exec-root or --containerd")
	manager.Shutdown()
	return checkEnded(r, manager)
}

// checkEnded returns an error for each run of a runner that lives, or may live.
func checkEnded(r *runner, ended *plugin.Manager) (err error) {
	executor, err := r.newExecutor(ended)
	if err != nil {
		return err
	}
	if closer, ok := executor.(io.Closer); ok {
		defer func() { err = errors.Join(err, closer.Close()) }()
	}
	lister, ok := executor.(plugin.RunLister)
	if !ok {
		return nil
	}
	ids, err := lister.Runs()
	problems := []error{err}
	for _, id := range ids {
		alive, err := executor.IsRunning(id)
		switch {
		case errdefs.IsNotFound(err):
		case err != nil:
			problems = append(problems, err)
		case alive:
			problems = append(problems, fmt.Errorf("plugin %s lives", id))
		}
	}
	return errors.Join(problems...)
}
