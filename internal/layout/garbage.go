// SPDX-License-Identifier: Apache-2.0

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

// aside returns a new name for garbage, which no stage uses.
func (r *Root) aside(id string) string {
	return filepath.Join(r.staging, id+"."+rand.Text()[:8])
}

// Sweep deletes the files that crashes left in plugins, and the garbage of
// [Root.SweepGarbage]. No other method may be in progress. Files that it can't
// delete are harmless.
func (r *Root) Sweep(ctx context.Context) error {
	entries, err := os.ReadDir(r.dir)
	problems := []error{err, r.sweepExposed()}
	for _, entry := range entries {
		if id := entry.Name(); validID.MatchString(id) && entry.IsDir() {
			problems = append(problems, r.sweepPlugin(id))
		}
	}
	return errors.Join(append(problems, r.SweepGarbage(ctx))...)
}

// sweepPlugin deletes temporary records that were not renamed into place.
func (r *Root) sweepPlugin(id string) error {
	problems := []error{r.sweepDockerTemporaries(id)}
	if temporary := durable.Temporary(r.record(id)); mayExist(temporary) {
		problems = append(problems, r.fs.Unlink(temporary))
	}
	return errors.Join(problems...)
}

// SweepGarbage deletes the garbage of installs, upgrades and removals that have
// ended, except directories with mounts. It waits for a sweep in progress; no verb
// waits for it. When ctx ends, SweepGarbage ends, and its error includes that of
// ctx.
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
			err = nil // its parent was removed concurrently
		}
		problems = append(problems, err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(problems...)
}

// sweep deletes one garbage directory. If a stage may use its name, sweep renames
// the directory first, so that the stage does not wait.
func (r *Root) sweep(ctx context.Context, one garbage) error {
	if one.after != "" && mayExist(one.after) {
		return nil // the sweep of one.after has failed and returned its error
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

// moveAside renames garbage to a name that no stage uses, or deletes it if the
// file system can't rename it. It does nothing if a stage uses the name already.
func (r *Root) moveAside(ctx context.Context, one garbage) (aside string, err error) {
	if r.stages.begin(one.stage, bySweep) != nil {
		return "", nil
	}
	defer r.stages.end(one.stage)
	if one.path == r.journal(one.stage) && r.uninterrupted(one.stage) != nil {
		return "", nil
	}
	// The removal of a plugin unmounts only mounts below the plugin's directory.
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

// garbage is a directory without a use, unless it belongs to a stage that has not
// ended.
type garbage struct {
	path  string
	stage string // the stage that can use the name; empty if none can
	after string // a path that must be deleted before
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
		case validID.MatchString(name) && mayExist(r.journal(name)) && r.uninterrupted(name) == nil:
			all = append(all, garbage{path: r.journal(name), stage: name})
		}
		if validID.MatchString(name) && r.isSpent(name) {
			all = append(all, garbage{path: r.Backup(name)})
		}
		if validID.MatchString(name) && mayExist(r.upgradeStage(name)) {
			all = append(all, garbage{path: r.upgradeStage(name), stage: name})
		}
	}
	return all, nil
}

// stagesLeft returns all stages, including those that have not ended.
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
			if durable.IsProbe(entry.Name()) {
				continue
			}
			one := garbage{path: filepath.Join(dir, entry.Name())}
			if dir == r.staging && validID.MatchString(entry.Name()) {
				one.stage = entry.Name()
			}
			all = append(all, one)
		}
	}
	return all, nil
}

// removedLeft returns the garbage of a removed plugin, its trash last: the trash
// marks the plugin's directory as garbage.
func (r *Root) removedLeft(id string) []garbage {
	switch {
	case r.unsettled.has(id), r.stages.isActive(id + removingSuffix):
		return nil
	case mayExist(r.Plugin(id)) && r.isRemoved(id):
		return []garbage{{path: r.Plugin(id)}, {path: r.trash(id), after: r.Plugin(id)}}
	}
	return []garbage{{path: r.trash(id)}}
}
