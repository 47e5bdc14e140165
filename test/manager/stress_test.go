// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/filters"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testseed"
	"github.com/dovetailhq/plugin/plugintest"
)

// modelled is the state of a plugin after the successful verbs of its owner.
type modelled struct {
	enabled bool
	debug   string
}

// owner changes its plugins; nothing else changes them, so it knows the right
// result of each verb. All owners share one manager.
type owner struct {
	w      *world
	random *rand.Rand
	names  []string
	model  map[string]*modelled
}

func (o *owner) act() error {
	name := o.names[o.random.IntN(len(o.names))]
	known := o.model[name]
	force := o.random.IntN(4) == 0
	switch verb := o.random.IntN(8); verb {
	case 0, 1:
		return o.create(name, known)
	case 2, 3:
		err := o.w.Enable(name, &backend.PluginEnableConfig{Timeout: 1})
		return o.judge("enable", err, known, known != nil && known.enabled, func() { known.enabled = true })
	case 4:
		err := o.w.Disable(name, &backend.PluginDisableConfig{ForceDisable: force})
		return o.judge("disable", err, known, known != nil && !known.enabled, func() { known.enabled = false })
	case 5:
		value := fmt.Sprint(o.random.IntN(100))
		err := o.w.Set(name, []string{"DEBUG=" + value})
		return o.judge("set", err, known, known != nil && known.enabled, func() { known.debug = value })
	case 6:
		err := o.w.Remove(name, &backend.PluginRmConfig{ForceRemove: force})
		return o.judge("remove", err, known, known != nil && known.enabled && !force, func() { delete(o.model, name) })
	default:
		if known != nil && known.enabled {
			// A crash; it may find the plugin between two runs.
			_ = o.w.Executor.Exit(o.w.ID(name), 1)
		}
		return o.compare(name, known)
	}
}

func (o *owner) create(name string, known *modelled) error {
	config := plugintest.Config("docker.volumedriver/1.0")
	value := "0"
	config.Env = []types.PluginEnv{{Name: "DEBUG", Value: &value, Settable: []string{"value"}}}
	config.Description = fmt.Sprint(o.random.IntN(3)) // some share their blobs
	err := o.w.CreateConfig(name, config)
	if known != nil {
		if !errdefs.IsConflict(err) {
			return fmt.Errorf("create of existing %s: %w", name, err)
		}
		return nil
	}
	o.model[name] = &modelled{debug: "0"}
	return err
}

// judge compares a verb's answer with the model's, and applies its effect.
func (o *owner) judge(verb string, err error, known *modelled, conflict bool, apply func()) error {
	switch {
	case known == nil && errdefs.IsNotFound(err), conflict && errdefs.IsConflict(err):
		return nil
	case known == nil || conflict || err != nil:
		return fmt.Errorf("%s: known %v, conflict %v: %w", verb, known, conflict, err)
	}
	apply()
	return nil
}

func (o *owner) compare(name string, known *modelled) error {
	p, err := o.w.Inspect(name)
	if known == nil {
		if !errdefs.IsNotFound(err) {
			return fmt.Errorf("%s is still there: %w", name, err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if p.Enabled != known.enabled || p.Settings.Env[0] != "DEBUG="+known.debug {
		return fmt.Errorf("%s is %v %v, must be %+v", name, p.Enabled, p.Settings.Env, *known)
	}
	return nil
}

func TestStress(t *testing.T) {
	seed := testseed.Of(t)
	w := newWorld(t).start()
	const workers, plugins = 6, 3
	steps := 150
	if testing.Short() {
		steps = 30
	}
	owners := make([]*owner, workers)
	var wg sync.WaitGroup
	for i := range owners {
		o := &owner{w: w, random: rand.New(rand.NewPCG(seed, uint64(i))), model: map[string]*modelled{}}
		for k := range plugins {
			o.names = append(o.names, fmt.Sprintf("stress/owner%d-%d:latest", i, k))
		}
		owners[i] = o
		wg.Go(func() {
			for step := range steps {
				if err := o.act(); err != nil {
					t.Errorf("owner %d, step %d: %v", i, step, err)
					return
				}
			}
		})
	}
	stop := make(chan struct{})
	var onlookers sync.WaitGroup
	onlookers.Go(func() { onlook(w, stop) })
	wg.Wait()
	close(stop)
	onlookers.Wait()
	if t.Failed() {
		return
	}
	checkWorld(t, w, owners)
	w.restart()
	checkWorld(t, w, owners)
}

// onlook reads, collects and subscribes while the owners change their plugins.
func onlook(w *world, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		events, cancel := w.SubscribeEvents(1)
		_, err := w.List(filters.NewArgs(filters.Arg("capability", "volumedriver")))
		assert.Check(w.T, err)
		for id, p := range w.Config.Store.GetAll() {
			assert.Check(w.T, p.GetID() == id)
		}
		w.GC()
		cancel()
		for range events {
			continue
		}
	}
}

// checkWorld compares memory, disk and executor with each other and with the models
// of the owners.
func checkWorld(t *testing.T, w *world, owners []*owner) {
	t.Helper()
	total := 0
	needed := map[string]bool{}
	for _, o := range owners {
		total += len(o.model)
		for _, name := range o.names {
			assert.NilError(t, o.compare(name, o.model[name]))
		}
		for name, known := range o.model {
			p, err := w.Get(name)
			assert.NilError(t, err)
			state := w.MustStatus(name).State
			if known.enabled {
				assert.Check(t, state == "running" || state == "backoff" || state == "starting", "%s is %s", name, state)
			} else {
				assert.Equal(t, state, "disabled", name)
				assert.Check(t, !w.Alive(name), name)
			}
			assert.Equal(t, p.GetRefCount(), 0, name)
			needed[p.Config.Encoded()] = true
			needed[p.Manifest.Encoded()] = true
			for _, layer := range p.Blobsums {
				needed[layer.Encoded()] = true
			}
		}
	}
	list, err := w.List(filters.NewArgs())
	assert.NilError(t, err)
	assert.Equal(t, len(list), total)
	w.Check("after the stress")
	assert.Equal(t, len(w.Blobs()), len(needed))
	for _, path := range w.Blobs() {
		assert.Check(t, needed[filepath.Base(path)], path)
	}
	entries, err := os.ReadDir(w.Config.Root)
	assert.NilError(t, err)
	assert.Equal(t, len(entries), total+2, "something is left in %v", entries)
	stages, err := os.ReadDir(filepath.Join(w.Config.Root, "tmp"))
	assert.NilError(t, err)
	assert.Equal(t, len(stages), 0)
}
