// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"

	"github.com/docker/docker/api/types/filters"
)

// checkManager compares a manager's memory with the records.
func (c *rootChecker) checkManager() {
	if c.Manager == nil {
		return
	}
	list, err := c.Manager.List(filters.NewArgs())
	if err != nil {
		c.problem("list plugins: %v", err)
		return
	}
	listed := map[string]bool{}
	for _, p := range list {
		listed[p.ID] = true
		if _, installed := c.plugins[p.ID]; !installed {
			c.problem("the manager lists plugin %s (%s), which is not on disk", p.ID, p.Name)
			continue
		}
		c.checkMemory(p.ID)
	}
	for _, id := range c.ids() {
		if !listed[id] {
			c.problem("the manager does not list plugin %s (%s)", id, c.plugins[id].Name())
		}
	}
}

func (c *rootChecker) checkMemory(id string) {
	p, err := c.Manager.Get(id)
	if err != nil {
		c.problem("get plugin %s: %v", id, err)
		return
	}
	known, err := json.Marshal(p)
	if err != nil {
		c.problem("get plugin %s: %v", id, err)
		return
	}
	if !sameRecord(known, c.raw[id]) {
		c.problem("plugin %s: memory and disk differ:\n\t\t%s\n\t\t%s", id, known, c.raw[id])
	}
	if byName, err := c.Manager.Get(p.Name()); err != nil || byName.GetID() != id {
		c.problem("plugin %s is not found by its name %s: %v", id, p.Name(), err)
	}
}

// sameRecord compares two records, except for the path of the rootfs, which depends
// on the root directory at the time of writing.
func sameRecord(a, b []byte) bool {
	var x, y map[string]any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	delete(x, "Rootfs")
	delete(y, "Rootfs")
	return reflect.DeepEqual(x, y)
}

// checkRunning reports sockets and runs of plugins that are not enabled.
func (c *rootChecker) checkRunning() {
	if c.Executor != nil {
		for _, id := range c.Executor.Running() {
			if !c.isEnabled(id) {
				c.problem("plugin %s runs and is not enabled", id)
			}
		}
	}
	if c.ExecRoot == "" {
		return
	}
	entries, err := os.ReadDir(c.ExecRoot)
	if err != nil && !os.IsNotExist(err) {
		c.problem("list: %v", err)
	}
	for _, entry := range entries {
		if id := entry.Name(); pluginID.MatchString(id) && !c.isEnabled(id) {
			c.problem("sockets of plugin %s are left, but the plugin is not enabled", id)
		}
	}
}

// Running returns the sorted IDs that have a living run.
func (e *Executor) Running() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var ids []string
	for id, h := range e.plugins {
		if h.newest != nil && !h.newest.hasEnded() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
