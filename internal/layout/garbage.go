package layout

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dovetailhq/plugin/internal/durable"
)

// aside is a new name of garbage, which no stage takes.
func (r *Root) aside(id string) string {
	return filepath.Join(r.staging, id+"."+rand.Text()[:8])
}

// Sweep deletes what crashes left of the plugins themselves, and what
// [Root.SweepGarbage] does; it is for when nothing is under way. What it can't
// delete is in nobody's way.
func (r *Root) Sweep(ctx context.Context) error {
	entries, err := os.ReadDir(r.dir)
	problems := []error{err}
	for _, entry := range entries {
		if id := entry.Name(); validID.MatchString(id) && entry.IsDir() {
			problems = append(problems, r.sweepPlugin(id))
		}
	}
	return errors.Join(append(problems, r.SweepGarbage(ctx))...)
}

// sweepPlugin deletes a record that was never put into its place.
func (r *Root) sweepPlugin(id string) error {
	temporary := durable.Temporary(r.record(id))
	if !exists(temporary) {
		return nil
	}
	return r.fs.Unlink(temporary)
}

// SweepGarbage deletes what installs, upgrades and removals left that have
// ended, but for what is still mounted. It waits for a sweep that is under way,
// and no verb waits for it. It ends with ctx, whose error is among those it
// returns then.
func (r *Root) SweepGarbage(ctx context.Context) error {
	if err := r.Check(); err != nil {
		return err
	}
	select {
	case r.sweeping <- struct{}{}:
		defer func() { <-r.sweeping }()
	case <-ctx.Done():
		return ctx.Err()
	}
	problems := []error{r.settle()}
	all, err := r.garbage()
	problems = append(problems, err)
	for _, one := range all {
		err := r.sweep(ctx, one)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // what it was left in was removed meanwhile
		}
		problems = append(problems, err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(problems...)
}

// sweep deletes one directory that is garbage. One whose name a stage may take
// gets another name first, so that the stage does not have to wait.
func (r *Root) sweep(ctx context.Context, one garbage) error {
	if one.after != "" && exists(one.after) {
		return nil // the error of that has been returned
	}
	if one.stage == "" {
		return r.fs.RemoveWithin(ctx, one.path)
	}
	aside, err := r.moveAside(ctx, one)
	if err != nil || aside == "" {
		return err
	}
	return r.fs.RemoveWithin(ctx, aside)
}

// moveAside gives garbage a name that no stage takes, or deletes it where the
// file system can't rename it. It does nothing to what a stage has begun to use.
func (r *Root) moveAside(ctx context.Context, one garbage) (aside string, err error) {
	if r.stages.begin(one.stage, true) != nil {
		return "", nil
	}
	defer r.stages.end(one.stage)
	if one.path == r.journal(one.stage) && r.uninterrupted(one.stage) != nil {
		return "", nil
	}
	// A removal of the plugin unmounts what is mounted below it, and only there.
	if err := durable.CheckUnmounted(one.path); err != nil {
		return "", err
	}
	aside = r.aside(one.stage)
	err = r.fs.Rename(one.path, aside)
	if errors.Is(err, syscall.EXDEV) {
		return "", r.fs.RemoveWithin(ctx, one.path)
	}
	return aside, err
}

// garbage is a directory that nobody needs, unless it belongs to a stage that
// has not ended.
type garbage struct {
	path  string
	stage string // empty when no stage can use the name
	after string // what must be gone before it
}

func (r *Root) garbage() ([]garbage, error) {
	all, err := r.stagesLeft()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		name := entry.Name()
		id, removing := strings.CutSuffix(name, removingSuffix)
		switch {
		case removing && validID.MatchString(id):
			all = append(all, r.removedLeft(id)...)
		case validID.MatchString(name) && exists(r.journal(name)) && r.uninterrupted(name) == nil:
			all = append(all, garbage{path: r.journal(name), stage: name})
		}
		if validID.MatchString(name) && exists(r.upgradeStage(name)) {
			all = append(all, garbage{path: r.upgradeStage(name), stage: name})
		}
	}
	return all, nil
}

// stagesLeft returns all stages, those that have not ended included.
func (r *Root) stagesLeft() ([]garbage, error) {
	var all []garbage
	for _, dir := range []string{r.tmp(), r.stagesDir()} {
		stages, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) && dir != r.staging {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, entry := range stages {
			one := garbage{path: filepath.Join(dir, entry.Name())}
			if dir == r.staging && validID.MatchString(entry.Name()) {
				one.stage = entry.Name()
			}
			all = append(all, one)
		}
	}
	return all, nil
}

// removedLeft returns what is left of a removed plugin, its trash last: it tells
// that what is left in the plugin's place is garbage.
func (r *Root) removedLeft(id string) []garbage {
	switch {
	case r.unsettled.has(id), r.stages.isActive(id + removingSuffix):
		return nil
	case exists(r.Plugin(id)) && r.isRemoved(id):
		return []garbage{{path: r.Plugin(id)}, {path: r.trash(id), after: r.Plugin(id)}}
	}
	return []garbage{{path: r.trash(id)}}
}
