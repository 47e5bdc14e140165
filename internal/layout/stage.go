// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/durable"
)

// Stage is an install that is not visible yet. A successful Commit or CommitUpgrade
// ends it, as does Abort. It belongs to one goroutine.
type Stage struct {
	root  *Root
	id    string
	dir   string
	tree  *durable.Tree // opened before the first file is written
	ended bool
}

// Stage begins the install of id. It waits while a sweep moves the garbage of an
// earlier stage of id aside; if ctx ends first, the error is its cause. The error
// is [os.ErrExist] while another stage of id has not ended.
func (r *Root) Stage(ctx context.Context, id string) (*Stage, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	s := &Stage{root: r, id: id, dir: filepath.Join(r.staging, id)}
	if err := r.stages.await(ctx, id); err != nil {
		return nil, err
	}
	err := s.place()
	if err == nil {
		err = s.make()
	}
	if err != nil {
		return nil, errors.Join(err, s.Abort())
	}
	return s, nil
}

// place puts the stage of an upgrade into the plugin's directory if no other
// directory can be renamed into that, for example because of a project quota:
// EXDEV in https://man7.org/linux/man-pages/man2/rename.2.html.
func (s *Stage) place() error {
	if !mayExist(s.root.Plugin(s.id)) {
		return nil
	}
	movable, err := s.root.fs.CanMove(s.root.staging, s.root.Plugin(s.id))
	if err == nil && !movable {
		s.dir = s.root.upgradeStage(s.id)
	}
	return err
}

func (s *Stage) make() error {
	// A failed Abort may have left the directory.
	if _, err := s.root.fs.PutAway(s.dir, s.root.aside(s.id)); err != nil {
		return err
	}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return err
	}
	var err error
	if s.tree, err = s.root.fs.OpenTree(s.dir); err != nil {
		return err
	}
	return os.Mkdir(s.Rootfs(), 0o755)
}

// Rootfs returns the directory to unpack into. It exists and is empty.
func (s *Stage) Rootfs() string { return filepath.Join(s.dir, rootfsName) }

// FileCloser returns a function that closes a written file below Rootfs, so that
// the commit fails if the content does not reach the disk. It returns nil if
// close(2) is enough. See [durable.Tree.FileCloser].
func (s *Stage) FileCloser() func(fd int) { return s.tree.FileCloser() }

// Commit writes the record, makes the stage durable, and renames it into place.
// Before the rename a crash leaves garbage, after it the installed plugin. After a
// failed Commit, only Abort and TakeBack may be called.
func (s *Stage) Commit(record []byte) error {
	if err := s.seal(record); err != nil {
		return err
	}
	if err := s.root.fs.Rename(s.dir, s.root.Plugin(s.id)); err != nil {
		return err
	}
	s.end()
	return nil
}

func (s *Stage) end() {
	if !s.ended {
		s.ended = true
		if s.tree != nil {
			s.tree.Close()
		}
		s.root.stages.end(s.id)
	}
}

// seal writes the record and makes the stage durable.
func (s *Stage) seal(record []byte) error {
	if err := s.root.Check(); err != nil {
		return err
	}
	if err := s.root.fs.Create(filepath.Join(s.dir, recordName), record, 0o600); err != nil {
		return err
	}
	return s.tree.Sync()
}

// Abort deletes the stage. After a commit it does nothing. Files that can't be
// deleted, or take long, are left to a sweep.
func (s *Stage) Abort() error {
	if s.ended {
		return nil
	}
	defer s.end()
	return s.root.fs.Tidy(s.dir)
}

// TakeBack deletes the stage even if a failed Commit has renamed it into place. If
// the plugin can't be removed, it is unsettled, and the next sweep removes it.
func (s *Stage) TakeBack() error {
	if !mayExist(s.root.Plugin(s.id)) {
		return s.Abort()
	}
	defer s.end()
	err := s.root.Remove(s.id)
	if err != nil && !s.root.isRemoved(s.id) {
		s.root.unsettled.add(s.id, installed)
	}
	return err
}

// user is what uses an ID.
type user bool

const (
	byStage user = false
	bySweep user = true
)

// stages are the IDs that a stage or a sweep uses. The zero value is empty.
type stages struct {
	claims bounded.Claims[string, user]
}

// await claims id for a stage. It waits for a sweep, not for another stage.
func (s *stages) await(ctx context.Context, id string) error {
	for {
		other, ok := s.claims.Try(id, byStage)
		switch {
		case ok:
			return nil
		case other.Note == byStage:
			return inUse(id)
		}
		if err := other.Await(ctx); err != nil {
			return err
		}
	}
}

// begin claims id. The error is [os.ErrExist] while it is claimed already.
func (s *stages) begin(id string, by user) error {
	if _, ok := s.claims.Try(id, by); !ok {
		return inUse(id)
	}
	return nil
}

func inUse(id string) error { return fmt.Errorf("begin stage %s: %w", id, os.ErrExist) }

// isActive reports whether a stage of id has not ended.
func (s *stages) isActive(id string) bool {
	claim, ok := s.claims.Find(id)
	return ok && claim.Note == byStage
}

func (s *stages) end(id string) { s.claims.Release(id) }
