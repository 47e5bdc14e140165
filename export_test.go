package plugin

import (
	"context"
	"net"

	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/remote"
	"github.com/dovetailhq/plugin/internal/supervise"
)

// NewManagerOn makes a manager whose files fail as a test says.
func NewManagerOn(config ManagerConfig, files *durable.FS) (*Manager, error) {
	return newManager(config, files, supervise.NewSockets())
}

// NewManagerAwaiting makes a manager that learns from await, and not from the
// kernel, that a plugin listens on the socket name in dir.
func NewManagerAwaiting(config ManagerConfig, await func(ctx context.Context, dir, name string) error) (*Manager, error) {
	files := durable.Default
	return newManager(config, &files, awaited(await))
}

type awaited func(ctx context.Context, dir, name string) error

func (a awaited) Await(ctx context.Context, dir, name string) error { return a(ctx, dir, name) }

func (awaited) Close() error { return nil }

// HoldLogbook keeps what a plugin writes from being written, and its logbook
// from being closed, as a disk that hangs does.
func (pm *Manager) HoldLogbook(id string) (release func()) {
	pm.mu.RLock()
	defer pm.mu.RUnlock()
	l := pm.units[id].logbook
	l.mu.Lock()
	return l.mu.Unlock
}

// HoldOperation keeps verbs on a plugin waiting, as another verb does. It does not
// wait itself.
func (pm *Manager) HoldOperation(name string) (release func(), ok bool) {
	u, err := pm.unit(name)
	if err != nil {
		return nil, false
	}
	select {
	case u.operation <- struct{}{}:
		return u.operation.unlock, true
	default:
		return nil, false
	}
}

// DialRegistries makes a manager reach registries by dial.
func (pm *Manager) DialRegistries(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	options := pm.remoteOptions()
	options.Dial = dial
	pm.remote = remote.New(options)
}
