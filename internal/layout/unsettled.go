// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"io/fs"
	"os"
	"sync"
)

// unsettled are the plugins with a state on disk that contradicts the error of a
// verb: the disk refused a step, and then refused to undo the earlier ones. The
// zero value is empty.
type unsettled struct {
	mu        sync.Mutex
	ids       map[string]unsettledVerb
	adoptions map[string]*Adoption // those that ids has
}

// unsettledVerb is the state on disk that a failed verb left.
type unsettledVerb int

const (
	installed   unsettledVerb = iota + 1 // a sweep removes the plugin
	removed                              // a sweep completes the removal and deletes the plugin
	interrupted                          // the next Recover completes the upgrade
	adopted                              // a sweep undoes the adoption
)

func (u *unsettled) add(id string, verb unsettledVerb) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ids == nil {
		u.ids = make(map[string]unsettledVerb)
	}
	u.ids[id] = verb
}

func (u *unsettled) addAdoption(a *Adoption) {
	u.add(a.id, adopted)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.adoptions == nil {
		u.adoptions = make(map[string]*Adoption)
	}
	u.adoptions[a.id] = a
}

func (u *unsettled) adoption(id string) *Adoption {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.adoptions[id]
}

func (u *unsettled) settled(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.ids, id)
	delete(u.adoptions, id)
}

func (u *unsettled) has(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ids[id] != 0
}

func (u *unsettled) is(id string, verb unsettledVerb) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ids[id] == verb
}

func (u *unsettled) all() map[string]unsettledVerb {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := make(map[string]unsettledVerb, len(u.ids))
	for id, verb := range u.ids {
		all[id] = verb
	}
	return all
}

// settle retries the removal of unsettled plugins, and the undo of adoptions.
func (r *Root) settle() error {
	var problems []error
	for id, verb := range r.unsettled.all() {
		switch verb {
		case interrupted:
		case adopted:
			problems = append(problems, r.settleAdoption(id))
		default:
			if err := r.Remove(id); r.unsettled.has(id) {
				problems = append(problems, err)
			}
		}
	}
	return errors.Join(problems...)
}

// settleAdoption undoes an adoption, unless the plugin is being adopted again.
func (r *Root) settleAdoption(id string) error {
	if r.stages.begin(id, bySweep) != nil {
		return nil
	}
	defer r.stages.end(id)
	a := r.unsettled.adoption(id)
	if a == nil {
		return nil // settled concurrently
	}
	if err := a.undo(); err != nil {
		return err
	}
	r.unsettled.settled(id)
	return nil
}

// UnsettledRecords returns records that the next start may find although their
// verb failed: those of interrupted upgrades, and of installs and removals that
// could not be undone. The caller must keep the blobs that they refer to.
func (r *Root) UnsettledRecords() ([][]byte, error) {
	var records [][]byte
	for id := range r.unsettled.all() {
		places := []string{r.record(id), r.journalRecord(id)}
		for _, moved := range r.recordsOf(id) {
			places = append(places, moved.trash)
		}
		for _, place := range places {
			record, err := os.ReadFile(place)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			records = append(records, record)
		}
	}
	return records, nil
}
