//go:build linux

package executortest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// VerifyNoLeaks fails t if, when it and all its cleanups that were registered
// later have ended, there are goroutines or open files that were not there
// when VerifyNoLeaks was called. Call it first.
func VerifyNoLeaks(t testing.TB) {
	t.Helper()
	verifyNoLeaks(t, defaultPatience)
}

func verifyNoLeaks(t testing.TB, patience time.Duration) {
	t.Helper()
	goroutinesBefore, filesBefore := goroutines(), openFiles()
	t.Cleanup(func() {
		limit := time.NewTimer(patience)
		defer limit.Stop()
		// The end of a goroutine is no event that one could wait for.
		again := time.NewTicker(5 * time.Millisecond)
		defer again.Stop()
		for {
			leaks := append(newGoroutines(goroutinesBefore), newFiles(filesBefore)...)
			if len(leaks) == 0 {
				return
			}
			select {
			case <-again.C:
			case <-limit.C:
				t.Errorf("left behind:\n%s", strings.Join(leaks, "\n"))
				return
			}
		}
	})
}

func newGoroutines(before map[string]string) (leaks []string) {
	for number, stack := range goroutines() {
		if _, known := before[number]; !known {
			leaks = append(leaks, stack)
		}
	}
	slices.Sort(leaks)
	return leaks
}

// goroutines returns the stacks of all goroutines by their numbers.
func goroutines() map[string]string {
	buffer := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buffer, true)
		if n < len(buffer) {
			buffer = buffer[:n]
			break
		}
		buffer = make([]byte, 2*len(buffer))
	}
	byNumber := make(map[string]string)
	for stack := range bytes.SplitSeq(buffer, []byte("\n\n")) {
		// goroutine 18 [running]:
		if fields := strings.Fields(string(stack)); len(fields) > 1 {
			byNumber[fields[1]] = string(stack)
		}
	}
	return byNumber
}

func newFiles(before map[string]int) (leaks []string) {
	for target, count := range openFiles() {
		if extra := count - before[target]; extra > 0 {
			leaks = append(leaks, fmt.Sprintf("%d open file(s): %s", extra, target))
		}
	}
	slices.Sort(leaks)
	return leaks
}

// openFiles counts this process's open files by what they are open on. The
// runtime's own poller, which the first use makes for good, is left out.
func openFiles() map[string]int {
	byTarget := make(map[string]int)
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", entry.Name()))
		// The descriptor of the listing itself is gone by now.
		if err != nil || target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]" {
			continue
		}
		byTarget[target]++
	}
	return byTarget
}
