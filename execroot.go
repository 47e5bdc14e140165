package plugin

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"regexp"

	"github.com/dovetailhq/plugin/internal/durable"
)

// discardedSockets are the names of what is left of a run's directory when it
// takes long to delete: garbage by definition.
var discardedSockets = regexp.MustCompile(`^[0-9a-f]{64}\.[0-9A-Z]{8}-removing$`)

// clearSockets makes the place of the sockets free. A run can leave as many files
// beside them as inodes last for: what takes long is left to the collector.
func (p *process) clearSockets() error {
	pm := p.unit.manager
	aside := filepath.Join(pm.config.ExecRoot, p.id()+"."+rand.Text()[:8]+"-removing")
	left, err := pm.files.PutAway(p.execDir(), aside)
	var mounted *durable.MountedError
	if errors.As(err, &mounted) && pm.root.Check() == nil {
		// The directory is shared with the host, also what a plugin mounts in it.
		if err := unmountAll(p.execDir()); err != nil {
			return err
		}
		left, err = pm.files.PutAway(p.execDir(), aside)
	}
	if left {
		pm.requestGC()
	}
	return err
}

// sweepSockets deletes what clearSockets left. One call waits for another.
func (pm *Manager) sweepSockets(ctx context.Context) error {
	select {
	case pm.sweepingSockets <- struct{}{}:
		defer func() { <-pm.sweepingSockets }()
	case <-ctx.Done():
		return ctx.Err()
	}
	entries, err := os.ReadDir(pm.config.ExecRoot)
	problems := []error{err}
	for _, entry := range entries {
		if discardedSockets.MatchString(entry.Name()) && ctx.Err() == nil {
			problems = append(problems, pm.files.DiscardWithin(ctx, filepath.Join(pm.config.ExecRoot, entry.Name())))
		}
	}
	return errors.Join(problems...)
}
