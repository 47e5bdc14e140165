package layout

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/dovetailhq/plugin/internal/durable"
)

// Stage is an install that nobody can see yet. A Commit or CommitUpgrade that
// succeeded ends it, and Abort. It belongs to one goroutine.
type Stage struct {
	root  *Root
	id    string
	dir   string
	tree  *durable.Tree // open from before anything is in it
	ended bool
}

// Stage begins the install of id. The error is [os.ErrExist] while another
// stage of it has not ended.
func (r *Root) Stage(id string) (*Stage, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	s := &Stage{root: r, id: id, dir: filepath.Join(r.staging, id)}
	if err := r.stages.begin(id, false); err != nil {
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

// place puts the stage of an upgrade into the plugin's directory where nothing
// else can be renamed into that, because it has a project quota of its own:
// https://man7.org/linux/man-pages/man2/rename.2.html, EXDEV.
func (s *Stage) place() error {
	if !exists(s.root.Plugin(s.id)) {
		return nil
	}
	movable, err := s.root.fs.CanMove(s.root.staging, s.root.Plugin(s.id))
	if err == nil && !movable {
		s.dir = s.root.upgradeStage(s.id)
	}
	return err
}

func (s *Stage) make() error {
	// An Abort that failed may have left it.
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

// FileCloser returns what closes a file below Rootfs by the descriptor that wrote
// it, so that the commit fails if its content does not reach the disk, or nil where
// close(2) will do. See [durable.Tree.FileCloser].
func (s *Stage) FileCloser() func(fd int) { return s.tree.FileCloser() }

// Commit writes the record, makes everything in the stage durable, and
// renames it into place: before the rename a crash leaves garbage, after it
// the installed plugin. A failed Commit may be followed by Abort only.
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

// seal makes the stage complete, and durable.
func (s *Stage) seal(record []byte) error {
	if err := s.root.Check(); err != nil {
		return err
	}
	if err := s.root.fs.Create(filepath.Join(s.dir, recordName), record, 0o600); err != nil {
		return err
	}
	return s.tree.Sync()
}

// Abort deletes the stage, and does nothing to one that was committed. What
// can't be deleted, or takes long, is left to a sweep.
func (s *Stage) Abort() error {
	if s.ended {
		return nil
	}
	defer s.end()
	return s.root.fs.Tidy(s.dir)
}

// TakeBack deletes the stage even if a Commit put it into its place and could
// not say so. A plugin that can't be deleted is unsettled: the next sweep deletes
// it.
func (s *Stage) TakeBack() error {
	if !exists(s.root.Plugin(s.id)) {
		return s.Abort()
	}
	defer s.end()
	err := s.root.Remove(s.id)
	if err != nil && !s.root.isRemoved(s.id) {
		s.root.unsettled.add(s.id, installed)
	}
	return err
}

// stages are those that have not ended, and what is being swept in their
// place. The zero value is ready.
type stages struct {
	mu     sync.Mutex
	active map[string]claim // by id
}

type claim struct {
	swept bool
	ended chan struct{}
}

// begin claims id. A stage waits for a sweep to end; otherwise the error is
// [os.ErrExist] while somebody has it.
func (s *stages) begin(id string, sweep bool) error {
	for {
		other, taken := s.tryBegin(id, sweep)
		if !taken {
			return nil
		}
		if sweep || !other.swept {
			return fmt.Errorf("begin stage %s: %w", id, os.ErrExist)
		}
		<-other.ended
	}
}

func (s *stages) tryBegin(id string, sweep bool) (other claim, taken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other, taken = s.active[id]; taken {
		return other, true
	}
	if s.active == nil {
		s.active = make(map[string]claim)
	}
	s.active[id] = claim{swept: sweep, ended: make(chan struct{})}
	return claim{}, false
}

// isActive reports whether a stage of id has not ended.
func (s *stages) isActive(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	other, taken := s.active[id]
	return taken && !other.swept
}

func (s *stages) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.active[id].ended)
	delete(s.active, id)
}
