// SPDX-License-Identifier: Apache-2.0

package runc

import "os"

// freezer is the controller that freezes cgroups of version 1.
const freezer = "freezer"

// thaw thaws the cgroups of a process that got SIGKILL, and of its descendants. A
// process in a frozen cgroup of version 1 does not end before, see
// https://docs.kernel.org/admin-guide/cgroup-v1/freezer-subsystem.html, and the init of
// a pid namespace not before all processes in it. A cgroup of version 2 needs no thaw.
// The cgroup of this process is left alone.
func (p *process) thaw() {
	own := membership(os.Getpid())[freezer]
	if own == "" {
		return // no cgroups of version 1
	}
	mount := hierarchyMount(freezer)
	groups := map[string]bool{own: true, "": true}
	for _, pid := range append(descendants(p.PID), p.PID) {
		group := membership(pid)[freezer]
		if groups[group] || !p.alive() {
			continue
		}
		groups[group] = true
		if state := mount.file(group, "freezer.state"); state != "" {
			// A cgroup that can't be thawed leaves a process that is reported as living.
			_ = os.WriteFile(state, []byte("THAWED"), 0)
		}
	}
}
