package plugintest

import (
	"fmt"
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Started returns how many runs of id were started.
func (e *Executor) Started(id string) int {
	return len(e.Specs(id))
}

// Specs returns the specs that runs of id were started with, oldest first.
func (e *Executor) Specs(id string) []specs.Spec {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h := e.plugins[id]; h != nil {
		return slices.Clone(h.specs)
	}
	return nil
}

// LastExit returns how the newest ended run of id ended; ok is false if none
// has.
func (e *Executor) LastExit(id string) (code int, oomKilled bool, ok bool) {
	_, ending := e.newest(id)
	if ending == nil {
		return 0, false, false
	}
	return ending.Code, ending.OOMKilled, true
}

// Pid returns this process's pid while a run of id lives.
func (e *Executor) Pid(id string) (pid int, ok bool) {
	r, _ := e.newest(id)
	if r == nil || r.hasEnded() {
		return 0, false
	}
	return os.Getpid(), true
}

// Exit ends the living run of id with code, as a crash would: its socket stays
// behind as a file that nobody listens on. It returns after the end was
// reported. The error is of class not found if id has no living run.
func (e *Executor) Exit(id string, code int) error {
	r, _ := e.newest(id)
	if r == nil || !r.kill(Ending{Code: code}) {
		return notFoundError{fmt.Errorf("end plugin %s: it is not running", id)}
	}
	<-r.done
	return nil
}

// Report reports an end of id now, whatever the truth is.
func (e *Executor) Report(id string) {
	e.mu.Lock()
	exits := e.exits
	e.mu.Unlock()
	if exits != nil {
		exits(id)
	}
}
