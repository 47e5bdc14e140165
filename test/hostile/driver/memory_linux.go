package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
)

// settle gives memory back that preparing took, and begins to look for a new
// peak; see clear_refs in proc(5). It returns what the process has now.
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
