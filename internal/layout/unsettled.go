package layout

import (
	"errors"
	"io/fs"
	"os"
	"sync"
)

// unsettled are plugins that may be on disk as no verb said: the disk refused a
// step, and then to take back what had been done. The zero value is ready.
type unsettled struct {
	mu  sync.Mutex
	ids map[string]unsettledVerb
}

// unsettledVerb is what came to be on disk although the verb failed.
type unsettledVerb int

const (
	installed   unsettledVerb = iota + 1 // sweeps remove it
	removed                              // sweeps delete it once that is durable
	interrupted                          // the next Recover completes the upgrade
)

func (u *unsettled) add(id string, verb unsettledVerb) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ids == nil {
		u.ids = make(map[string]unsettledVerb)
	}
	u.ids[id] = verb
}

func (u *unsettled) settled(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.ids, id)
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

// settle tries again to remove what should not be there.
func (r *Root) settle() error {
	var problems []error
	for id, verb := range r.unsettled.all() {
		if verb == interrupted {
			continue
		}
		if err := r.Remove(id); r.unsettled.has(id) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// UnsettledRecords returns the records that the next start may find and that no
// verb returned success for: of upgrades that are interrupted, and of installs
// and removals that could not be taken back. What they refer to must be kept.
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
