// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
)

// settle returns free memory to the system and resets the peak, see clear_refs
// in https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html. It
// returns the current size.
func settle() (bytes int64, err error) {
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return 0, err
	}
	return memory("VmRSS")
}

// memory reads a field of this process's status.
func memory(field string) (bytes int64, err error) {
	status, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), field+":"); ok {
			_, err := fmt.Sscanf(value, "%d kB", &bytes)
			return bytes << 10, err
		}
	}
	return 0, fmt.Errorf("the kernel says nothing of %s", field)
}
