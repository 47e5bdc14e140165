// SPDX-License-Identifier: Apache-2.0

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

// VerifyNoLeaks fails t if goroutines or open files exist after the test and its
// cleanups that did not exist when VerifyNoLeaks was called. Call it before other
// cleanups are registered.
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
		// Poll, because the end of a goroutine causes no event.
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

// goroutines returns the stacks of all goroutines by goroutine number.
func goroutines() map[string]string {
	buffer := make([]byte, 64<<10)
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

// openFiles counts the open files of this process by target. It ignores the poller of
// the Go runtime, which exists for good after its first use.
func openFiles() map[string]int {
	byTarget := make(map[string]int)
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", entry.Name()))
		// The descriptor of the listing itself is already closed.
		if err != nil || target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]" {
			continue
		}
		byTarget[target]++
	}
	return byTarget
}
