// SPDX-License-Identifier: Apache-2.0

// Package drive calls random verbs on a plugin manager, as several users at
// once, until it is killed. It writes an event before and after each verb. It
// works with any manager: a command that opens one becomes a driver by [Main].
package drive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/filters"

	"github.com/dovetailhq/plugin/test/crash/history"
)

// Manager is the manager that is driven. It has docker's methods, with docker's
// types.
type Manager interface {
	CreateFromContext(ctx context.Context, tarCtx io.ReadCloser, options *types.PluginCreateOptions) error
	Enable(refOrID string, config *backend.PluginEnableConfig) error
	Disable(refOrID string, config *backend.PluginDisableConfig) error
	Set(name string, args []string) error
	Remove(name string, config *backend.PluginRmConfig) error
	List(pluginFilters filters.Args) ([]types.Plugin, error)
	GC()
	Shutdown()
}

// Transferrer is a Manager with a [Registry].
type Transferrer interface {
	PullVersion(version, name string) error
	UpgradeVersion(version, name string) error
}

// Importer is a Manager that imports plugins of docker 1.12.
type Importer interface {
	ImportVersion(version, name string) error
}

// Reclaimer is a Manager that deletes all garbage on request.
type Reclaimer interface {
	Reclaim() error
}

// verbs are the verbs that a worker chooses from, weighted by repetition, and
// transfers and imports are further ones with a [Transferrer] and an [Importer]. To add a verb, extend this
// list, worker.call and [history.State.Apply].
var (
	verbs     = []string{"create", "create", "enable", "enable", "disable", "set", "set", "remove", "remove"}
	transfers = []string{"pull", "pull", "upgrade", "upgrade"}
	imports   = []string{"import", "import"}
)

// The verbs without a plugin. Only a [Reclaimer] reclaims all garbage.
const (
	collect = "collect"
	reclaim = "reclaim"
)

const (
	namesPerWorker = 3
	versions       = 4 // few, so that plugins share their content
	// fewCollections is the number of verbs for each collection. One of
	// fewMistakes wrong verbs that are drawn is called.
	fewCollections = 20
	fewMistakes    = 4
)

// driver is one run of the driver.
type driver struct {
	manager     Manager
	versions    Versions
	verbs       []string
	collections []string
	turns       <-chan struct{} // a worker takes one before each verb
	mu          sync.Mutex
	out         *json.Encoder
}

// drive returns when there are no more turns, or when its output is closed.
func (d *driver) drive(seed uint64, workers int) error {
	known, err := Observe(d.manager)
	if err != nil {
		return err
	}
	d.verbs, d.collections = verbs, []string{collect}
	if _, ok := d.manager.(Reclaimer); ok {
		d.collections = append(d.collections, reclaim)
	}
	if _, ok := d.manager.(Transferrer); ok {
		d.verbs = slices.Concat(d.verbs, transfers)
	}
	if _, ok := d.manager.(Importer); ok {
		d.verbs = slices.Concat(d.verbs, imports)
	}
	var working sync.WaitGroup
	failures := make([]error, workers)
	for i := range workers {
		w := &worker{driver: d, random: rand.New(rand.NewPCG(seed, uint64(i))), known: map[string]history.State{}}
		for k := range namesPerWorker {
			name := fmt.Sprintf("crash/worker%d-%d:latest", i, k)
			w.names = append(w.names, name)
			w.known[name] = known[name]
		}
		working.Go(func() { failures[i] = w.work() })
	}
	working.Wait()
	return errors.Join(failures...)
}

// report writes one event at once.
func (d *driver) report(event history.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Encode(event)
}

// worker calls verbs on its plugins. No other worker changes them.
type worker struct {
	*driver
	random *rand.Rand
	names  []string
	known  map[string]history.State
}

func (w *worker) work() error {
	for range w.turns {
		op := w.choose()
		if err := w.report(history.Event{Operation: op, At: history.Now()}); err != nil {
			return err
		}
		err := w.call(op)
		end := history.Event{Operation: op, Ended: true, Class: classOf(err), At: history.Now()}
		if err != nil {
			end.Error = err.Error()
		}
		if err := w.report(end); err != nil {
			return err
		}
		if op.Name != "" && err == nil {
			w.known[op.Name], _ = w.known[op.Name].Apply(op)
		}
	}
	return nil
}

// choose returns a verb, mostly a possible one.
func (w *worker) choose() history.Operation {
	if w.random.IntN(fewCollections) == 0 {
		return history.Operation{Verb: w.collections[w.random.IntN(len(w.collections))]}
	}
	for {
		op := history.Operation{
			Verb: w.verbs[w.random.IntN(len(w.verbs))],
			Name: w.names[w.random.IntN(len(w.names))],
		}
		switch op.Verb {
		case "create", "pull", "import", "upgrade":
			op.Value = versionName(w.random.IntN(versions))
		case "set":
			op.Value = fmt.Sprint(w.random.IntN(1000))
		case "remove", "disable":
			op.Force = w.random.IntN(2) == 0
		}
		_, class := w.known[op.Name].Apply(op)
		if class == history.Done || w.random.IntN(fewMistakes) == 0 {
			return op
		}
	}
}

func (w *worker) call(op history.Operation) error {
	switch op.Verb {
	case "create":
		options := &types.PluginCreateOptions{RepoName: op.Name}
		return w.manager.CreateFromContext(context.Background(), w.versions.BuildContext(op.Value), options)
	case "pull":
		return w.manager.(Transferrer).PullVersion(op.Value, op.Name)
	case "import":
		return w.manager.(Importer).ImportVersion(op.Value, op.Name)
	case "upgrade":
		return w.manager.(Transferrer).UpgradeVersion(op.Value, op.Name)
	case "enable":
		return w.manager.Enable(op.Name, &backend.PluginEnableConfig{Timeout: 1})
	case "disable":
		return w.manager.Disable(op.Name, &backend.PluginDisableConfig{ForceDisable: op.Force})
	case "set":
		return w.manager.Set(op.Name, []string{"DEBUG=" + op.Value})
	case "remove":
		return w.manager.Remove(op.Name, &backend.PluginRmConfig{ForceRemove: op.Force})
	case reclaim:
		return w.manager.(Reclaimer).Reclaim()
	default:
		w.manager.GC()
		return nil
	}
}

func classOf(err error) history.Class {
	switch {
	case err == nil:
		return history.Done
	case errdefs.IsNotFound(err):
		return history.NotFound
	case errdefs.IsConflict(err):
		return history.Conflict
	}
	return history.Unexpected
}

// Observe returns the state of each plugin that a user sees.
func Observe(manager Manager) (map[string]history.State, error) {
	list, err := manager.List(filters.NewArgs())
	if err != nil {
		return nil, err
	}
	found := make(map[string]history.State, len(list))
	for _, p := range list {
		found[p.Name] = history.State{
			Installed: true,
			Enabled:   p.Enabled,
			Debug:     debugOf(p.Settings.Env),
			Version:   p.Config.Description,
		}
	}
	return found, nil
}

func debugOf(env []string) string {
	const prefix = "DEBUG="
	for _, entry := range env {
		if len(entry) > len(prefix) && entry[:len(prefix)] == prefix {
			return entry[len(prefix):]
		}
	}
	return ""
}
