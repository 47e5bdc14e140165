// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/dovetailhq/plugin/internal/durable"
)

// Exposure is a directory of the host that a plugin could write to.
type Exposure struct {
	// Source is the source of the plugin's mount.
	Source string `json:",omitempty"`
	// Directory is an absolute path without links, or names a file system by the
	// numbers of its device, "8:1:".
	Directory string
	// Boot identifies a boot of the host if the files there, or the name, end with
	// it; empty for files that stay.
	Boot string `json:",omitempty"`
}

// damagedSuffix is the suffix of the file of a set that can't be read.
const damagedSuffix = ".damaged"

// maxExposures bounds the set. Directories beyond it are replaced by parents,
// the deepest first.
const maxExposures = 1024

// exposed is the set of all exposures of a root, including those of removed
// plugins. The zero value is empty.
type exposed struct {
	mu      sync.Mutex // held while the set is written
	set     []Exposure // replaced, never changed
	damaged []string   // the files of sets that could not be read; the last can be in place still
}

func (r *Root) exposures() string { return filepath.Join(r.dir, exposuresName) }

// LoadExposed reads the set that the last Root saved, without files that ended with
// another boot of the host. A file that can't be read is renamed, so that no new set
// replaces what it holds, and the set counts as damaged until an operator removes
// it. After an error the set is empty.
func (r *Root) LoadExposed(boot string) error {
	r.exposed.mu.Lock()
	defer r.exposed.mu.Unlock()
	r.exposed.damaged = r.setAside()
	set, err := readExposures(r.exposures())
	if err != nil {
		r.exposed.damaged = append(r.exposed.damaged, r.exposures())
		return errors.Join(fmt.Errorf("read %s: %w", r.exposures(), err), r.setAsideLocked())
	}
	r.exposed.set = slices.DeleteFunc(set, func(e Exposure) bool { return e.Boot != "" && e.Boot != boot })
	return nil
}

func readExposures(path string) ([]Exposure, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var set []Exposure
	if err == nil {
		err = json.Unmarshal(data, &set)
	}
	if i := slices.IndexFunc(set, func(e Exposure) bool { return e.Directory == "" }); err == nil && i >= 0 {
		err = fmt.Errorf("entry %d has no Directory", i)
	}
	return set, err
}

// setAside returns the damaged files that earlier calls of LoadExposed renamed.
func (r *Root) setAside() []string {
	var files []string
	entries, _ := os.ReadDir(r.dir) // Recover returned the error
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), exposuresName+damagedSuffix) {
			files = append(files, filepath.Join(r.dir, entry.Name()))
		}
	}
	return files
}

// setAsideLocked renames the file of the set if it is damaged, and an operator has
// not removed it.
func (r *Root) setAsideLocked() error {
	last := len(r.exposed.damaged) - 1
	if last < 0 || r.exposed.damaged[last] != r.exposures() || !mayExist(r.exposures()) {
		return nil
	}
	name := r.exposures() + damagedSuffix
	for n := 2; mayExist(name); n++ {
		name = fmt.Sprintf("%s%s-%d", r.exposures(), damagedSuffix, n)
	}
	if err := r.fs.Rename(r.exposures(), name); err != nil {
		return err
	}
	r.exposed.damaged[last] = name
	return nil
}

// Exposed returns the directories that any plugin could ever write to, and the file
// that lists more of them and can't be read; empty if there is none. The caller must
// not change the slice.
func (r *Root) Exposed() (set []Exposure, damaged string) {
	r.exposed.mu.Lock()
	defer r.exposed.mu.Unlock()
	r.exposed.damaged = slices.DeleteFunc(r.exposed.damaged, func(file string) bool { return !mayExist(file) })
	if len(r.exposed.damaged) > 0 {
		damaged = r.exposed.damaged[0]
	}
	return r.exposed.set, damaged
}

// Expose adds to the set. When it returns nil the set survives a power cut. It
// writes nothing if the set covers all of add already. After an error the set has
// not changed, but the next Root may read a set with add.
func (r *Root) Expose(add []Exposure) error {
	r.exposed.mu.Lock()
	defer r.exposed.mu.Unlock()
	grown := mergeExposures(r.exposed.set, add, maxExposures)
	if slices.Equal(grown, r.exposed.set) {
		return nil
	}
	if err := r.Check(); err != nil {
		return err
	}
	if err := r.setAsideLocked(); err != nil {
		return err
	}
	data, err := json.Marshal(grown)
	if err == nil {
		err = r.fs.WriteFile(r.exposures(), data, 0o600)
	}
	if err != nil {
		return err
	}
	r.exposed.set = grown
	return nil
}

// sweepExposed deletes a temporary set that was not renamed into place.
func (r *Root) sweepExposed() error {
	temporary := durable.Temporary(r.exposures())
	if !mayExist(temporary) {
		return nil
	}
	return r.fs.Unlink(temporary)
}

// mergeExposures returns a new set that covers set and add, with at most limit
// directories as long as those have parents below the root.
func mergeExposures(set, add []Exposure, limit int) []Exposure {
	merged := slices.Clone(set)
	for _, e := range add {
		merged = e.mergeInto(merged)
	}
	for len(merged) > limit {
		deepest := slices.MaxFunc(merged, func(a, b Exposure) int { return a.depth() - b.depth() })
		if deepest.depth() < 2 {
			break
		}
		merged = Exposure{deepest.Source, filepath.Dir(deepest.Directory), deepest.Boot}.mergeInto(merged)
	}
	return merged
}

// mergeInto adds e and removes the exposures that it covers. The exposures of a set
// never cover each other.
func (e Exposure) mergeInto(set []Exposure) []Exposure {
	if slices.ContainsFunc(set, func(other Exposure) bool { return other.covers(e) }) {
		return set
	}
	return append(slices.DeleteFunc(set, e.covers), e)
}

// covers reports whether other adds nothing to a set that has e.
func (e Exposure) covers(other Exposure) bool {
	above := strings.TrimSuffix(e.Directory, "/") + "/"
	return strings.HasPrefix(other.Directory+"/", above) && e.Source == other.Source && (e.Boot == "" || e.Boot == other.Boot)
}

func (e Exposure) depth() int { return strings.Count(e.Directory, "/") }
