// Package drive calls random verbs on a plugin manager, as several users at
// once, and tells of each one before and after, until it is killed. It knows
// no manager in particular: a command that opens one makes it a driver, see
// [Main].
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

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/filters"

	"github.com/dovetailhq/plugin/test/crash/history"
)

// Manager is what is driven. It has docker's methods, over docker's types.
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

// Transferrer is what a Manager also is that has a [Registry] at its side.
type Transferrer interface {
	PullVersion(version, name string) error
	UpgradeVersion(version, name string) error
}

// Reclaimer is what a Manager also is that deletes all garbage when asked.
type Reclaimer interface {
	Reclaim() error
}

// verbs are what a worker chooses from, some more often than others, and
// transfers what it also does with a [Transferrer]. A verb more is added here,
// to worker.call and to [history.State.Apply].
var (
	verbs     = []string{"create", "create", "enable", "enable", "disable", "set", "set", "remove", "remove"}
	transfers = []string{"pull", "pull", "upgrade", "upgrade"}
)

// The verbs about no plugin: all garbage is reclaimed by a [Reclaimer] only.
const (
	collect = "collect"
	reclaim = "reclaim"
)

const (
	namesPerWorker = 3
	versions       = 4 // few, so that plugins share their content
	// fewCollections is how many verbs there are to one collection, and
	// fewMistakes how many wrong verbs are not called to one that is.
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

// drive returns when there are no more turns, or its output is gone.
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
		d.verbs = slices.Concat(verbs, transfers)
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

// tell writes one event, at once.
func (d *driver) tell(event history.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Encode(event)
}

// worker is the only one who changes its plugins.
type worker struct {
	*driver
	random *rand.Rand
	names  []string
	known  map[string]history.State
}

func (w *worker) work() error {
	for range w.turns {
		op := w.choose()
		if err := w.tell(history.Event{Operation: op, At: history.Now()}); err != nil {
			return err
		}
		err := w.call(op)
		end := history.Event{Operation: op, Ended: true, Class: classOf(err), At: history.Now()}
		if err != nil {
			end.Error = err.Error()
		}
		if err := w.tell(end); err != nil {
			return err
		}
		if op.Name != "" && err == nil {
			w.known[op.Name], _ = w.known[op.Name].Apply(op)
		}
	}
	return nil
}

// choose returns a verb, mostly one that is possible.
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
		case "create", "pull", "upgrade":
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
	case cerrdefs.IsNotFound(err):
		return history.NotFound
	case cerrdefs.IsConflict(err):
		return history.Conflict
	}
	return history.Unexpected
}

// Observe returns what a user sees of each plugin.
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
