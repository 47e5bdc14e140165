// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"fmt"
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin/internal/class"
)

// Started returns how many runs of id were started.
func (e *Executor) Started(id string) int {
	return len(e.Specs(id))
}

// Specs returns the specs of the started runs of id, oldest first.
func (e *Executor) Specs(id string) []specs.Spec {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h := e.plugins[id]; h != nil {
		return slices.Clone(h.specs)
	}
	return nil
}

// LastExit returns the exit code of the last ended run of id, and whether the OOM
// killer killed it. ok is false if no run has ended.
func (e *Executor) LastExit(id string) (code int, oomKilled bool, ok bool) {
	_, ending := e.newest(id)
	if ending == nil {
		return 0, false, false
	}
	return ending.Code, ending.OOMKilled, true
}

// Pid returns the PID of this process while a run of id is alive.
func (e *Executor) Pid(id string) (pid int, ok bool) {
	r, _ := e.newest(id)
	if r == nil || r.hasEnded() {
		return 0, false
	}
	return os.Getpid(), true
}

// Exit ends the living run of id with code, like a crash: the file of its socket
// stays. It returns after the end was reported. The error is of class NotFound if
// id has no living run.
func (e *Executor) Exit(id string, code int) error {
	r, _ := e.newest(id)
	if r == nil || !r.kill(Ending{Code: code}) {
		return class.NotFound(fmt.Errorf("end plugin %s: not running", id))
	}
	<-r.done
	return nil
}

// Report reports an end of id at once, whether or not a run has ended.
func (e *Executor) Report(id string) {
	e.mu.Lock()
	exits := e.exits
	e.mu.Unlock()
	if exits != nil {
		exits(id)
	}
}
