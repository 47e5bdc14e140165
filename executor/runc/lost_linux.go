// SPDX-License-Identifier: Apache-2.0

package runc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dovetailhq/plugin/internal/bounded"
)

// The directory is volatile, and may be cleared while plugins run. A run without
// its record is found by its runtime, which lives as long as the plugin's main
// process and has the bundle's path among its arguments. A run whose runtime is gone
// as well is found by its state in the directory, and ended: nothing reads its
// output any more.

// findLeft notes the living runs, by their records, or by their runtimes where the
// records are gone. The error is a [LockedError] if another process holds the lock
// of a deleted directory with such runs.
func (e *Executor) findLeft() error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	lost := e.findLost(boot)
	if len(lost) > 0 && attendedElsewhere(e.root) {
		return &LockedError{Directory: e.root}
	}
	ids, err := e.leftovers()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.left = lost
	for _, id := range ids {
		if written, err := e.bundle(id).load(); err == nil && written.Init != (identity{}) {
			e.left[id] = written
		}
	}
	return err
}

// findLost returns the runs without a record that have a living runtime.
func (e *Executor) findLost(boot string) map[string]record {
	lost := make(map[string]record)
	for _, pid := range processes() {
		id, ok := e.runsPlugin(pid)
		if !ok || lexists(e.bundle(id).record()) {
			continue
		}
		runtime, err := openProcess(pid)
		if err != nil {
			continue
		}
		// A runtime that is being forked has its parent's arguments. They are
		// read again because the pid may have been reused.
		again, ok := e.runsPlugin(pid)
		parentID, inner := e.runsPlugin(runtime.parent)
		if ok && again == id && !(inner && parentID == id) {
			lost[id] = record{Boot: boot, Runtime: runtime.identity, Init: initOf(pid)}
		}
		runtime.close()
	}
	return lost
}

// runsPlugin returns the ID of the plugin that process pid is the runtime of, if
// runForeground of an executor over the same directory started it. Any process can
// have such arguments, so the process must also have the same user and the same
// root, which a process in a plugin has not.
func (e *Executor) runsPlugin(pid int) (id string, ok bool) {
	if !isOfOurUser(pid) {
		return "", false
	}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return "", false
	}
	arguments := strings.Split(strings.TrimSuffix(string(content), "\x00"), "\x00")
	const last = 6
	if len(arguments) <= last {
		return "", false
	}
	arguments = arguments[len(arguments)-last:]
	id = arguments[last-1]
	b := bundle(arguments[2])
	if !validID(id) || !slices.Equal(arguments, foregroundArguments(id, b)) || filepath.Base(string(b)) != id {
		return "", false
	}
	same, _ := bounded.Within(rootPatience, func() bool {
		return sameFile(fmt.Sprintf("/proc/%d/root", pid), "/") && sameFile(filepath.Dir(string(b)), e.bundles())
	})
	return id, same
}

// rootPatience bounds a look at a file of another process, because its root can be
// a file system that does not answer.
const rootPatience = time.Second

// isOfOurUser reports whether process pid has the user of this process. The user
// owns /proc/<pid>, see https://man7.org/linux/man-pages/man5/proc_pid.5.html.
func isOfOurUser(pid int) bool {
	info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// initOf returns the container's init, the only child of its runtime. The zero
// value means that the start, or the end, is in progress.
func initOf(runtime int) identity {
	children := childrenOf(runtime)
	if len(children) != 1 {
		return identity{}
	}
	child, err := openProcess(children[0])
	if err != nil {
		return identity{}
	}
	defer child.close()
	return child.identity
}

func childrenOf(pid int) (children []int) {
	for _, candidate := range processes() {
		if _, parent, err := readStat(candidate); err == nil && parent == pid {
			children = append(children, candidate)
		}
	}
	return children
}

// attendedElsewhere reports whether another process has a deleted directory of the
// path root open.
func attendedElsewhere(root string) bool {
	if resolved, err := filepath.EvalSymlinks(root); err == nil {
		root = resolved
	}
	for _, pid := range processes() {
		if pid == os.Getpid() || !isOfOurUser(pid) {
			continue
		}
		descriptors, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "fd", "*"))
		for _, descriptor := range descriptors {
			if target, err := os.Readlink(descriptor); err == nil && target == root+" (deleted)" {
				return true
			}
		}
	}
	return false
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// load returns the record of id or, if it was deleted, what New found of it.
func (e *Executor) load(id string) (record, error) {
	b := e.bundle(id)
	written, err := b.load()
	if err != nil || written != (record{}) || lexists(b.record()) {
		return written, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.left[id], nil
}

// findInit returns a handle on the main process of id, or errGone.
func (e *Executor) findInit(id string) (*process, error) {
	written, err := e.load(id)
	if err != nil {
		return nil, err
	}
	return findProcess(written.Init)
}

// dropLeft drops the run of id that New found, once that run has ended.
func (e *Executor) dropLeft(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.left, id)
}

// living returns the IDs of the runs that New found and that still live.
func (e *Executor) living() (ids []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, found := range e.left {
		for _, who := range []identity{found.Init, found.Runtime} {
			p, err := findProcess(who)
			if err == nil {
				p.close()
			}
			if !errors.Is(err, errGone) && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// endTree ends a runtime that was still starting its container when its bundle was
// deleted.
func (r record) endTree(ctx context.Context) error {
	runtime, err := findProcess(r.Runtime)
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer runtime.close()
	killTree(runtime.PID, runtime.parent)
	return runtime.kill(ctx)
}

// renew makes the directories and the records of living runs again where they
// were deleted.
func (e *Executor) renew() error {
	if err := e.hold.Renew(); err != nil {
		return e.refused(err)
	}
	if err := e.makeDirectories(); err != nil {
		return err
	}
	e.mu.Lock()
	runs := slices.Collect(maps.Values(e.runs))
	e.mu.Unlock()
	for _, r := range runs {
		if err := r.rewrite(); err != nil {
			r.warn(err, "write deleted record of a running plugin again")
		}
	}
	return nil
}

// rewrite writes the record of a living run again if it was deleted. The pipes of
// such a run are opened by way of its runtime.
func (r *run) rewrite() error {
	r.recording.Lock()
	defer r.recording.Unlock()
	if r.cleared || r.init == nil || lexists(r.bundle.record()) {
		return nil
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(r.bundle), 0o700); err != nil {
		return err
	}
	return r.bundle.save(r.record(boot))
}
