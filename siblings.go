package plugin

import (
	"slices"
	"sync"
)

// siblings are the managers of this process that were opened and not closed.
// Managers of different roots can have one executor, or one directory of
// executors, in common, as in tests: the runs that it lists are then those of
// plugins of all of them.
var siblings struct {
	sync.Mutex
	managers []*Manager
}

// join makes pm known to its siblings. Those that crashed in a test, and were
// fenced by a newer manager, are forgotten.
func (pm *Manager) join() {
	fenced := slices.DeleteFunc(otherManagers(pm), func(other *Manager) bool { return other.writable() == nil })
	siblings.Lock()
	defer siblings.Unlock()
	siblings.managers = append(siblings.managers, pm)
	siblings.managers = slices.DeleteFunc(siblings.managers, func(other *Manager) bool { return slices.Contains(fenced, other) })
}

func (pm *Manager) part() {
	siblings.Lock()
	defer siblings.Unlock()
	siblings.managers = slices.DeleteFunc(siblings.managers, func(other *Manager) bool { return other == pm })
}

// isElsewhere reports whether another manager of this process has plugin id.
func (pm *Manager) isElsewhere(id string) bool {
	return slices.ContainsFunc(otherManagers(pm), func(other *Manager) bool { return other.has(id) })
}

// otherManagers returns them so that they can be asked without a lock held.
func otherManagers(pm *Manager) []*Manager {
	siblings.Lock()
	defer siblings.Unlock()
	return slices.DeleteFunc(slices.Clone(siblings.managers), func(other *Manager) bool { return other == pm })
}

// has reports whether the manager serves plugin id.
func (pm *Manager) has(id string) bool {
	pm.mu.RLock()
	_, ok := pm.units[id]
	pm.mu.RUnlock()
	return ok && pm.writable() == nil
}
