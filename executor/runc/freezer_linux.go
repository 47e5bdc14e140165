// SPDX-License-Identifier: Apache-2.0

package runc

import "os"

// freezer is the controller that freezes cgroups of version 1.
const freezer = "freezer"

// thaw thaws the cgroup of a process that got SIGKILL. A process in a frozen cgroup
// of version 1 does not end before, see
// https://docs.kernel.org/admin-guide/cgroup-v1/freezer-subsystem.html; a cgroup of
// version 2 needs no thaw. The cgroup of this process is left alone.
func (p *process) thaw() {
	group := membership(p.PID)[freezer]
	if group == "" || group == membership(os.Getpid())[freezer] || !p.alive() {
		return
	}
	state := hierarchyMount(freezer).file(group, "freezer.state")
	if state == "" {
		return
	}
	// A cgroup that can't be thawed leaves a process that is reported as living.
	_ = os.WriteFile(state, []byte("THAWED"), 0)
}
