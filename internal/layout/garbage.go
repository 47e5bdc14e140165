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
	return filepath.Join(r.tmp(), id+"."+rand.Text()[:8])
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
	all, err := r.garbage()
	problems := []error{err}
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
}

func (r *Root) garbage() ([]garbage, error) {
	stages, err := os.ReadDir(r.tmp())
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, err
	}
	var all []garbage
	for _, entry := range stages {
		one := garbage{path: filepath.Join(r.tmp(), entry.Name())}
		if validID.MatchString(entry.Name()) {
			one.stage = entry.Name()
		}
		all = append(all, one)
	}
	for _, entry := range entries {
		name := entry.Name()
		id, removing := strings.CutSuffix(name, removingSuffix)
		switch {
		case removing && validID.MatchString(id):
			all = append(all, garbage{path: filepath.Join(r.dir, name)})
		case validID.MatchString(name) && exists(r.journal(name)) && r.uninterrupted(name) == nil:
			all = append(all, garbage{r.journal(name), name})
		}
	}
	return all, nil
}
