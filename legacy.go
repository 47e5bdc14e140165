package plugin

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// legacy finds plugins of the first generation, which docker's plugins
// package knows by socket and spec files. That package waits many seconds for
// a name that has no file, so names are asked for only once they have one.
// The zero value and nil are ready.
type legacy struct {
	mu   sync.Mutex
	used map[string]struct{} // found once; docker remembers these without their files
}

func (l *legacy) get(name, capability string) (plugingetter.CompatPlugin, error) {
	if err := l.find(name); err != nil {
		return nil, err
	}
	p, err := plugins.Get(name, capability)
	if errors.Is(err, plugins.ErrNotFound) {
		return nil, &NotFoundError{Ref: name}
	}
	if err != nil {
		return nil, &LegacyError{Err: err}
	}
	l.remember(name)
	return p, nil
}

// find returns why there is nothing to be asked for. A file that can't be read
// is one reason: docker's package would read it again for many seconds.
func (l *legacy) find(name string) error {
	// The name becomes part of a path, and comes from far away.
	if !filepath.IsLocal(name) {
		return &NotFoundError{Ref: name}
	}
	if l.wasUsed(name) {
		return nil
	}
	registry := plugins.NewLocalRegistry()
	_, err := registry.Plugin(name)
	if errors.Is(err, plugins.ErrNotFound) {
		return &NotFoundError{Ref: name}
	}
	if err != nil {
		return &LegacyError{Err: fmt.Errorf("read file of %q: %w", name, err)}
	}
	return nil
}

func (l *legacy) wasUsed(name string) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.used[name]
	return ok
}

func (l *legacy) remember(name string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.used == nil {
		l.used = make(map[string]struct{})
	}
	l.used[name] = struct{}{}
}

func legacyByCapability(capability string) ([]plugingetter.CompatPlugin, error) {
	registry := plugins.NewLocalRegistry()
	found, err := registry.GetAll(capability)
	if err != nil {
		return nil, &LegacyError{Err: err}
	}
	all := make([]plugingetter.CompatPlugin, len(found))
	for i, p := range found {
		all[i] = p
	}
	return all, nil
}

// LegacyError reports a plugin of the first generation that does not work.
// Class System.
type LegacyError struct{ Err error }

func (e *LegacyError) Error() string { return plaintext.Sprintf("legacy plugin: %v", e.Err) }

// Unwrap returns what docker's plugins package said.
func (e *LegacyError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *LegacyError) System() {}
