// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dovetailhq/plugin/internal/durable"
)

// Adoption makes a plugin of docker 1.12, which lies below the root without a record,
// an installed one. A successful Commit ends it, as does TakeBack. It belongs to one
// goroutine.
//
// Nothing is moved before the commit, which is the rename of the record to its name,
// or that of the directory if its name is not the plugin's ID. A crash before it can
// leave a record in the directory, which the next adoption replaces.
type Adoption struct {
	root  *Root
	name  string // of the directory
	id    string
	begun bool // Commit was called: there can be something to undo
	ended bool
}

// reservedNames are names of the root's own directories.
var reservedNames = []string{storageName, tmpName, stagesName}

// Adopt begins the adoption of the directory of a name as plugin id. The error is
// [os.ErrExist] if there is such a plugin, and [os.ErrInvalid] if the directory is
// one of the root's own.
func (r *Root) Adopt(name, id string) (*Adoption, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if slices.Contains(reservedNames, name) || strings.HasSuffix(name, removingSuffix) {
		return nil, fmt.Errorf("adopt %s: the name has another use: %w", name, os.ErrInvalid)
	}
	if r.unsettled.is(id, adopted) {
		if err := r.settleAdoption(id); err != nil {
			return nil, err
		}
	}
	a := &Adoption{root: r, name: name, id: id}
	if mayExist(r.record(id)) || a.moves() && mayExist(r.Plugin(id)) {
		return nil, fmt.Errorf("adopt %s as %s: %w", name, id, os.ErrExist)
	}
	if err := r.stages.begin(id, byStage); err != nil {
		return nil, err
	}
	return a, nil
}

// moves reports whether the directory gets another name.
func (a *Adoption) moves() bool { return a.name != a.id }

func (a *Adoption) dir() string { return filepath.Join(a.root.dir, a.name) }

// Rootfs returns the root file system before the commit.
func (a *Adoption) Rootfs() string { return filepath.Join(a.dir(), rootfsName) }

// Leftover returns what the directory has in the place of the record: nothing, the
// record of an adoption that a crash interrupted, or a file that is not ours and that
// Commit would replace.
func (a *Adoption) Leftover() ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(a.dir(), recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// Commit makes the directory durable, writes the record, and gives the directory the
// name of the plugin. After a failed Commit, only TakeBack may be called.
func (a *Adoption) Commit(record []byte) error {
	a.begun = true
	if err := a.seal(record); err != nil {
		return err
	}
	if a.moves() {
		if err := a.root.fs.Rename(a.dir(), a.root.Plugin(a.id)); err != nil {
			return err
		}
	}
	a.end()
	return nil
}

// seal makes the directory durable, private like that of every plugin, and writes the
// record.
func (a *Adoption) seal(record []byte) error {
	if err := a.root.Check(); err != nil {
		return err
	}
	tree, err := a.root.fs.OpenTree(a.dir())
	if err != nil {
		return err
	}
	defer tree.Close()
	private := func() error { return os.Chmod(a.dir(), 0o700) }
	if err := a.root.fs.Do("chmod", a.dir(), private); err != nil {
		return err
	}
	if err := tree.SyncAll(); err != nil {
		return err
	}
	return a.root.fs.WriteFile(filepath.Join(a.dir(), recordName), record, 0o600)
}

func (a *Adoption) end() {
	if !a.ended {
		a.ended = true
		a.root.stages.end(a.id)
	}
}

// TakeBack undoes a Commit, also a failed one. If the undoing fails, the plugin is
// unsettled, and the next sweep undoes it. Without a Commit it changes nothing.
func (a *Adoption) TakeBack() error {
	defer a.end()
	if !a.begun {
		return nil
	}
	err := a.undo()
	if err != nil {
		a.root.unsettled.addAdoption(a)
	}
	return err
}

// undo gives the directory its old name back and deletes the record.
func (a *Adoption) undo() error {
	if a.moves() && !mayExist(a.dir()) {
		if err := a.root.fs.Rename(a.root.Plugin(a.id), a.dir()); err != nil {
			return err
		}
	}
	record := filepath.Join(a.dir(), recordName)
	for _, path := range []string{record, durable.Temporary(record)} {
		if mayExist(path) {
			if err := a.root.fs.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}
