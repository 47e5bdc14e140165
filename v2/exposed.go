// SPDX-License-Identifier: Apache-2.0

package v2

// Exposure is a directory of the host that a plugin can write to while it runs, and
// in which it can leave links and device nodes.
type Exposure struct {
	// Source is the source of the mount, as config or settings name it.
	Source string
	// Directory is an absolute path without links. It stands for all file systems
	// mounted below it as well. A whole file system that the plugin mounts itself is
	// named by the numbers of its device, "8:1:".
	Directory string
	// Volatile reports that the files, or the name of the directory, end with this
	// boot of the host.
	Volatile bool
}

// Exposed lists directories of the host in which plugins may have left links and
// device nodes, see [Exposure].
type Exposed struct {
	// Now are the directories that other plugins have been able to write to, and
	// still are.
	Now []string
	// Ever are the directories that any plugin could ever write to.
	Ever []string
	// Damaged is the file that should list Ever and can't be read; empty if Ever is
	// complete. Until an operator removes the file, plugins may have been able to
	// write to any directory.
	Damaged string
}

// SetExposed sets the function that returns the exposed directories to InitSpec;
// nil for none. InitSpec refuses a source that leads through a link in one of Now,
// and a source or device that a link or node in one of Ever has changed since
// [Plugin.PinGrants]. The function is called with no lock held.
func (p *Plugin) SetExposed(exposed func() Exposed) {
	r := p.liveState()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exposed = exposed
}

func (p *Plugin) exposed() Exposed {
	r := p.liveState()
	r.mu.Lock()
	exposed := r.exposed
	r.mu.Unlock()
	if exposed == nil {
		return Exposed{}
	}
	return exposed()
}
