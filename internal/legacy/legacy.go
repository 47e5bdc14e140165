// SPDX-License-Identifier: Apache-2.0

// Package legacy finds legacy plugins, docker's plugins of the first generation, and
// waits for the files of those that start after the daemon does.
package legacy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"
)

// Finder finds legacy plugins, which docker's plugins package discovers by socket
// and spec files. That package polls for a name without a file, so a name is looked
// up there only once it has a file. The zero value and nil are ready to use.
type Finder struct {
	mu     sync.Mutex
	used   map[string]struct{} // found once; docker keeps these without their files
	wait   time.Duration       // for files that are not there yet; zero means docker's
	halted context.Context     // ends waits; nil before there is a manager
}

// ErrNotFound is in the tree of errors about a name that no plugin has.
var ErrNotFound = plugins.ErrNotFound

// Get returns the plugin of a name. If waiting is not nil, Get waits for a plugin
// that is not there yet, and calls waiting first, with the bound of the wait and the
// reason.
func (f *Finder) Get(name, capability string, waiting func(wait time.Duration, reason error)) (plugingetter.CompatPlugin, error) {
	if err := f.find(name, waiting); err != nil {
		return nil, err
	}
	p, err := plugins.Get(name, capability)
	if err != nil {
		return nil, err
	}
	f.remember(name)
	return p, nil
}

// find returns nil if the name has a file, or was used before, else why not. A
// file that can't be read is an error.
func (f *Finder) find(name string, waiting func(time.Duration, error)) error {
	// The name becomes part of a path, and comes from outside.
	if !filepath.IsLocal(name) {
		return ErrNotFound
	}
	if f.wasUsed(name) {
		return nil
	}
	err := look(name)
	wait, halted := f.patience()
	if err == nil || waiting == nil || wait < 0 || !canBeLate(name) {
		return err
	}
	waiting(wait, err)
	return Await(name, wait, halted, look)
}

// dockersWait is how long docker waits for a legacy plugin that is not there: it
// looks again after 1, 2, 4 and 8 s. See loadWithRetry in
// https://github.com/moby/moby/blob/v28.5.2/pkg/plugins/plugins.go and "plugin
// retries" in https://docs.docker.com/engine/extend/plugin_api/.
const dockersWait = 15 * time.Second

// canBeLate reports whether a name can belong to a legacy plugin that starts
// after the daemon. Legacy plugins are named after files, managed plugins after
// repositories: a name with a slash or a colon belongs to a managed plugin.
func canBeLate(name string) bool { return !strings.ContainsAny(name, "/:") }

// Serve bounds waits by a manager's config and by the end of the manager.
func (f *Finder) Serve(wait time.Duration, halted context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wait, f.halted = wait, halted
}

// patience returns how long to wait, and a channel that ends a wait early. A
// negative time means that there is no wait.
func (f *Finder) patience() (time.Duration, <-chan struct{}) {
	if f == nil {
		return dockersWait, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var halted <-chan struct{}
	if f.halted != nil {
		halted = f.halted.Done()
	}
	return cmp.Or(f.wait, dockersWait), halted
}

// look returns why a name has no file that can be read now.
func look(name string) error {
	registry := plugins.NewLocalRegistry()
	_, err := registry.Plugin(name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("read file of %q: %w", name, err)
	}
	return err
}

func (f *Finder) wasUsed(name string) bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.used[name]
	return ok
}

func (f *Finder) remember(name string) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used == nil {
		f.used = make(map[string]struct{})
	}
	f.used[name] = struct{}{}
}

// WithCapability returns the plugins that have a capability and answer.
func WithCapability(capability string) ([]plugingetter.CompatPlugin, error) {
	registry := plugins.NewLocalRegistry()
	found, err := registry.GetAll(capability)
	if err != nil {
		return nil, err
	}
	all := make([]plugingetter.CompatPlugin, len(found))
	for i, p := range found {
		all[i] = p
	}
	return all, nil
}
