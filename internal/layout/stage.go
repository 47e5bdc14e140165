package layout

import (
	"errors"
	"os"
	"path/filepath"
)

// Stage is an install that nobody can see yet. One of Commit and Abort ends
// it. It belongs to one goroutine.
type Stage struct {
	root *Root
	id   string
	dir  string
}

// Stage begins the install of id.
func (r *Root) Stage(id string) (*Stage, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	s := &Stage{root: r, id: id, dir: filepath.Join(r.tmp(), id)}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Mkdir(s.Rootfs(), 0o755); err != nil {
		return nil, errors.Join(err, s.Abort())
	}
	return s, nil
}

// Rootfs returns the directory to unpack into. It exists and is empty.
func (s *Stage) Rootfs() string { return filepath.Join(s.dir, rootfsName) }

// Commit writes the record, makes everything in the stage durable, and
// renames it into place: before the rename a crash leaves garbage, after it
// the installed plugin. A failed Commit may be followed by Abort only.
func (s *Stage) Commit(record []byte) error {
	if err := s.seal(record); err != nil {
		return err
	}
	return s.root.fs.Rename(s.dir, s.root.Plugin(s.id))
}

// seal makes the stage complete, and durable.
func (s *Stage) seal(record []byte) error {
	if err := s.root.Check(); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.dir, recordName), record, 0o600); err != nil {
		return err
	}
	return s.root.fs.SyncTree(s.dir)
}

// Abort deletes the stage, and does nothing to one that was committed. What
// can't be deleted is swept by Recover.
func (s *Stage) Abort() error { return s.root.fs.RemoveAll(s.dir) }

// TakeBack deletes the stage even if a Commit put it into its place and could
// not say so.
func (s *Stage) TakeBack() error {
	if exists(s.root.Plugin(s.id)) {
		return s.root.Remove(s.id)
	}
	return s.Abort()
}
