// SPDX-License-Identifier: Apache-2.0

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

// Inventory has the methods of a manager that CheckRoot calls. *plugin.Manager
// implements it.
type Inventory interface {
	List(filters.Args) ([]types.Plugin, error)
	Get(idOrName string) (*v2.Plugin, error)
}

// RootCheck configures CheckRoot. The zero value is right for a root that no manager
// has open, after any crash and any boot.
type RootCheck struct {
	// Manager, if set, must know exactly the plugins that the records describe.
	Manager Inventory
	// ExecRoot, if set, may hold sockets of enabled plugins only.
	ExecRoot string
	// Executor, if set, may run enabled plugins only.
	Executor interface{ Running() []string }
	// Collected makes unreferenced blobs a problem.
	Collected bool
	// SelfModifying is for plugins that have written to their rootfs. The
	// rootfs is then not compared with its layers.
	SelfModifying bool
	// DockerRecords is for records written by docker, which do not list the
	// layers of pulled plugins. The layers are then read from the manifest.
	DockerRecords bool
}

// RootError lists the problems that CheckRoot found.
type RootError struct {
	Root     string   // the directory
	Problems []string // a sentence for each, at least one
}

func (e *RootError) Error() string {
	lines := []string{plaintext.Sprintf("plugin root %s has %d problem(s):", e.Root, len(e.Problems))}
	for _, problem := range e.Problems {
		lines = append(lines, plaintext.Quote(problem))
	}
	return strings.Join(lines, "\n    ")
}

// CheckRoot verifies the invariants of a manager's root directory on disk, without
// the manager's code:
//
//   - each record is complete and belongs to the plugin of its directory;
//   - each rootfs exists and has all files of its layers;
//   - the content of each blob matches its digest, and all referenced blobs exist;
//   - names are unique;
//   - nothing is left of installs, upgrades and removals;
//   - only enabled plugins have mounts, sockets and processes.
//
// With a manager it also checks that the manager's memory agrees with the disk.
//
// Call CheckRoot while no method of the manager is in progress. It changes nothing.
// The error is a [RootError], or that of the file system if the root can't be
// listed.
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

// rootChecker is the state of one CheckRoot.
type rootChecker struct {
	RootCheck
	root     string
	plugins  map[string]*v2.Plugin // by ID
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

// checkEntry checks one name in the root. It ignores names that a manager does not
// use.
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

// checkNames reports plugins that share a name.
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

// IDs returns the sorted IDs of installed plugins with a readable record.
func (c *rootChecker) ids() []string {
	ids := make([]string, 0, len(c.plugins))
	for id := range c.plugins {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// isEnabled reports whether id is an installed and enabled plugin.
func (c *rootChecker) isEnabled(id string) bool {
	p, installed := c.plugins[id]
	return installed && p.IsEnabled()
}
