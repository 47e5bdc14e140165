// SPDX-License-Identifier: Apache-2.0

package runc

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dovetailhq/plugin/internal/bounded"
)

// killTree ends process pid and all its descendants. It does nothing if pid is not
// a descendant of ancestor: then the pid was reused. Process pid is stopped first,
// so that it starts nothing and its children are not reparented.
func killTree(pid, ancestor int) {
	root, err := openDescendant(pid, ancestor)
	if err != nil || root == nil {
		return
	}
	defer root.close()
	_ = root.signal(unix.SIGSTOP)
	// A descendant may have started another just before its own end.
	const rounds = 3
	for range rounds {
		if !killDescendants(pid) {
			break
		}
	}
	_ = root.signal(unix.SIGKILL)
}

// killDescendants kills the descendants of pid, and reports whether there were any.
func killDescendants(pid int) (found bool) {
	var living []*process
	for _, descendant := range descendants(pid) {
		if p, err := openDescendant(descendant, pid); err == nil && p != nil {
			living = append(living, p)
		}
	}
	killAll(living)
	return len(living) > 0
}

// killAll kills processes and waits for their ends, for a moment at most.
func killAll(living []*process) {
	ctx, cancel := context.WithTimeout(context.Background(), handover)
	defer cancel()
	for _, p := range living {
		_ = p.signal(unix.SIGKILL)
	}
	for _, p := range living {
		_ = p.await(ctx)
		p.close()
	}
}

// descendants returns the processes below pid, parents first.
func descendants(pid int) []int {
	children := make(map[int][]int)
	for _, candidate := range processes() {
		if _, parent, err := readStat(candidate); err == nil {
			children[parent] = append(children[parent], candidate)
		}
	}
	found := append([]int(nil), children[pid]...)
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i]]...)
	}
	return found
}

// processes returns the pids that this process can see.
func processes() []int {
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// holders returns the other processes that have file open.
func holders(file string) []*process {
	info, err := os.Stat(file)
	if err != nil {
		return nil
	}
	var found []*process
	for _, pid := range processes() {
		if pid == os.Getpid() || !holds(pid, info) {
			continue
		}
		if p, err := openProcess(pid); err == nil {
			found = append(found, p)
		}
	}
	return found
}

func holds(pid int, file os.FileInfo) bool {
	descriptors, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "fd", "*"))
	for _, descriptor := range descriptors {
		// Files of other names are not opened: their file systems may not answer.
		target, err := os.Readlink(descriptor)
		if err != nil || filepath.Base(strings.TrimSuffix(target, " (deleted)")) != file.Name() {
			continue
		}
		same := func() bool {
			open, err := os.Stat(descriptor)
			return err == nil && os.SameFile(open, file)
		}
		if is, _ := bounded.Within(rootPatience, same); is {
			return true
		}
	}
	return false
}
