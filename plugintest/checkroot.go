package plugintest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/filters"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/plaintext"
	v2 "github.com/dovetailhq/plugin/v2"
)

// Inventory is what CheckRoot asks a manager. *plugin.Manager implements it.
type Inventory interface {
	List(filters.Args) ([]types.Plugin, error)
	Get(idOrName string) (*v2.Plugin, error)
}

// RootCheck says what else CheckRoot looks at. Its zero value is for a root
// that no manager has open, after any crash and any boot.
type RootCheck struct {
	// Manager, if set, must know what the records say, and nothing else.
	Manager Inventory
	// ExecRoot, if set, may hold sockets of enabled plugins only.
	ExecRoot string
	// Executor, if set, may run enabled plugins only.
	Executor interface{ Running() []string }
	// Collected says that unreferenced blobs, too, should be gone.
	Collected bool
	// SelfModifying says that plugins have written to their own rootfs, which
	// then is not compared with the layers it was made of.
	SelfModifying bool
	// DockerRecords says that docker wrote records, which name no layers of
	// what it pulled. Their manifests do.
	DockerRecords bool
}

// RootError lists what CheckRoot found.
type RootError struct {
	Root     string
	Problems []string
}

func (e *RootError) Error() string {
	lines := []string{plaintext.Sprintf("plugin root %s has %d problem(s):", e.Root, len(e.Problems))}
	for _, problem := range e.Problems {
		lines = append(lines, plaintext.Quote(problem))
	}
	return strings.Join(lines, "\n    ")
}

// CheckRoot verifies every invariant of a manager's root directory, on disk
// and without the manager's own code, and given a manager, that its memory
// agrees: each record is complete and of the plugin its directory is named
// after; each rootfs is present and holds all that its layers brought; each
// blob has the bytes that its name says, and each blob that a record or a
// manifest refers to is there; names are unique; nothing is left of installs,
// upgrades and removals; nothing is mounted, no socket is left and no process
// lives but those of plugins that may have them.
//
// Call it while no verb is under way. It changes nothing. The error is a
// [RootError], or that of the file system when the root can't be listed.
func CheckRoot(root string, check RootCheck) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	c := &rootChecker{
		RootCheck: check,
		root:      root,
		plugins:   map[string]*v2.Plugin{},
		raw:       map[string][]byte{},
		blobs:     map[digest.Digest]blobState{},
		needed:    map[digest.Digest]bool{},
	}
	c.checkStorage()
	for _, entry := range entries {
		c.checkEntry(entry)
	}
	c.checkNames()
	c.checkGarbage()
	c.checkManager()
	c.checkRunning()
	c.checkHost()
	if len(c.problems) > 0 {
		return &RootError{Root: root, Problems: c.problems}
	}
	return nil
}

// rootChecker is one CheckRoot.
type rootChecker struct {
	RootCheck
	root     string
	plugins  map[string]*v2.Plugin // by id
	raw      map[string][]byte     // their records
	blobs    map[digest.Digest]blobState
	needed   map[digest.Digest]bool
	problems []string
}

func (c *rootChecker) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

var (
	pluginID     = regexp.MustCompile(`^[0-9a-f]{64}$`)
	beginsWithID = regexp.MustCompile(`^[0-9a-f]{64}`)
)

// checkEntry looks at one name in the root. What is not a manager's is
// nobody's business.
func (c *rootChecker) checkEntry(entry os.DirEntry) {
	name := entry.Name()
	switch {
	case name == "tmp", name == "stages":
		for _, stage := range c.list(filepath.Join(c.root, name)) {
			c.problem("stage %s/%s is left", name, stage.Name())
		}
	case pluginID.MatchString(name):
		c.checkPlugin(name)
	case beginsWithID.MatchString(name):
		c.problem("%s is left", name)
	}
}

func (c *rootChecker) list(dir string) []os.DirEntry {
	entries, err := os.ReadDir(dir)
	if err != nil {
		c.problem("list: %v", err)
	}
	return entries
}

// checkNames finds plugins that share a name.
func (c *rootChecker) checkNames() {
	byName := map[string]string{}
	for _, id := range c.ids() {
		name := c.plugins[id].Name()
		if other, taken := byName[name]; taken {
			c.problem("plugins %s and %s are both named %s", other, id, name)
		}
		byName[name] = id
	}
}

// ids returns the installed plugins whose records can be read, in order.
func (c *rootChecker) ids() []string {
	ids := make([]string, 0, len(c.plugins))
	for id := range c.plugins {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// isEnabled reports whether id is an installed plugin that is wished to run.
func (c *rootChecker) isEnabled(id string) bool {
	p, installed := c.plugins[id]
	return installed && p.IsEnabled()
}
